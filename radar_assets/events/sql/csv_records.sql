-- The fields of CSV rows. Columns not mapped to a field become properties. Empty cells are null.
with filled as (
    select
        record_number,
        is_event,
        text,
        list_transform(cells, lambda cell: nullif(cell, '')) as cells,
        $field_columns::bigint[] as positions
    from rows
)

select
    record_number,
    is_event,
    case when is_event then coalesce(cells[positions[1]], substr(sha256(text || record_number), 1, 32)) end as event_id,
    cells[positions[2]] as project_id,
    cells[positions[3]] as type,
    cells[positions[4]] as event,
    cells[positions[5]] as category,
    cells[positions[6]] as user_id,
    cells[positions[7]] as anonymous_id,
    cells[positions[8]] as session_id,
    cells[positions[9]] as timestamp,
    cells[positions[10]] as sent_at,
    cells[positions[11]] as received_at,
    cells[positions[12]] as protocol,
    cells[positions[13]] as properties,
    cells[positions[14]] as context,
    null::varchar as other_members,
    to_json(map($property_names::varchar[], list_select(cells, $property_columns::bigint[]))) as property_members,
    to_json(map($context_names::varchar[], list_select(cells, $context_columns::bigint[]))) as context_members
from filled
