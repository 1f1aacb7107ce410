-- The fields of CSV rows. Columns not mapped to a field become properties. Empty cells are null.
with filled as (
    select
        place,
        is_event,
        text,
        list_transform(cells, lambda cell: nullif(cell, '')) as cells,
        $field_columns::bigint[] as places
    from rows
)

select
    place,
    is_event,
    case when is_event then coalesce(cells[places[1]], substr(sha256(text || place), 1, 32)) end as event_id,
    cells[places[2]] as project_id,
    cells[places[3]] as type,
    cells[places[4]] as event,
    cells[places[5]] as category,
    cells[places[6]] as user_id,
    cells[places[7]] as anonymous_id,
    cells[places[8]] as session_id,
    cells[places[9]] as timestamp,
    cells[places[10]] as sent_at,
    cells[places[11]] as received_at,
    cells[places[12]] as protocol,
    cells[places[13]] as properties,
    cells[places[14]] as context,
    null::varchar as other_members,
    to_json(map($property_names::varchar[], list_select(cells, $property_columns::bigint[]))) as property_members,
    to_json(map($context_names::varchar[], list_select(cells, $context_columns::bigint[]))) as context_members
from filled
