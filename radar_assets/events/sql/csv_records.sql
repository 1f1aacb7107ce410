-- The fields of CSV rows. Columns not mapped to a field become properties. Empty cells are null.
with filled as (
    select
        place,
        is_event,
        text,
        list_transform(cells, lambda cell: nullif(cell, '')) as cells
    from rows
)

select
    place,
    is_event,
    case when is_event then coalesce(cells[$field_places.event_id], substr(sha256(text || place), 1, 32)) end
        as event_id,
    cells[$field_places.project_id] as project_id,
    cells[$field_places.type] as type,
    cells[$field_places.event] as event,
    cells[$field_places.category] as category,
    cells[$field_places.user_id] as user_id,
    cells[$field_places.anonymous_id] as anonymous_id,
    cells[$field_places.session_id] as session_id,
    cells[$field_places.timestamp] as timestamp,
    cells[$field_places.sent_at] as sent_at,
    cells[$field_places.received_at] as received_at,
    cells[$field_places.protocol] as protocol,
    cells[$field_places.properties] as properties,
    cells[$field_places.context] as context,
    null::varchar as other_members,
    to_json(map($property_names::varchar[], list_select(cells, $property_columns::bigint[]))) as property_members,
    to_json(map($context_names::varchar[], list_select(cells, $context_columns::bigint[]))) as context_members
from filled
