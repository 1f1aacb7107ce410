-- The fields of NDJSON lines in another format. Members not mapped to a field become properties.
with parsed as (
    select
        record_number,
        text,
        -- Lines that are not JSON give null.
        try(json_extract_string(text, $field_paths)) as fields
    from lines
),

events as (
    select
        *,
        coalesce(fields is not null and prefix(ltrim(text), '{'), false) as is_event
    from parsed
)

select
    record_number,
    is_event,
    case
        when is_event
            then coalesce(fields[$field_positions.event_id], substr(sha256(text || record_number), 1, 32))
    end as event_id,
    fields[$field_positions.project_id] as project_id,
    fields[$field_positions.type] as type,
    fields[$field_positions.event] as event,
    fields[$field_positions.category] as category,
    fields[$field_positions.user_id] as user_id,
    fields[$field_positions.anonymous_id] as anonymous_id,
    fields[$field_positions.session_id] as session_id,
    fields[$field_positions.timestamp] as timestamp,
    fields[$field_positions.sent_at] as sent_at,
    fields[$field_positions.received_at] as received_at,
    fields[$field_positions.protocol] as protocol,
    fields[$field_positions.properties] as properties,
    fields[$field_positions.context] as context,
    case
        when is_event and len(list_filter(json_keys(text), lambda name: name not in $taken_names)) > 0
            then json_merge_patch(text, $taken)
    end as other_members,
    case
        when is_event and len($property_names) > 0
            then to_json(map($property_names::varchar[], json_extract(text, $property_paths::varchar[])))
    end as property_members,
    case
        when is_event and len($context_names) > 0
            then to_json(map($context_names::varchar[], json_extract(text, $context_paths::varchar[])))
    end as context_members
from events
