-- The fields of CSV rows. Columns not mapped to a field become properties. Empty cells are null.
with filled as (
    select
        record_number,
        is_event,
        text,
        list_transform(cells, lambda cell: nullif(cell, '')) as cells
    from rows
)

select
    record_number,
    is_event,
    case when is_event then coalesce(cells[$field_positions.event_id], substr(sha256(text || record_number), 1, 32)) end
        as event_id,
    cells[$field_positions.project_id] as project_id,
    cells[$field_positions.type] as type,
    cells[$field_positions.event] as event,
    cells[$field_positions.category] as category,
    cells[$field_positions.user_id] as user_id,
    cells[$field_positions.anonymous_id] as anonymous_id,
    cells[$field_positions.session_id] as session_id,
    cells[$field_positions.timestamp] as timestamp,
    cells[$field_positions.sent_at] as sent_at,
    cells[$field_positions.received_at] as received_at,
    cells[$field_positions.protocol] as protocol,
    cells[$field_positions.properties] as properties,
    cells[$field_positions.context] as context,
    null::varchar as other_members,
    to_json(map($property_names::varchar[], list_select(cells, $property_columns::bigint[]))) as property_members,
    to_json(map($context_names::varchar[], list_select(cells, $context_columns::bigint[]))) as context_members
from filled
