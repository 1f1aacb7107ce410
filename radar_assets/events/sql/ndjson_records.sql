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
    case when is_event then coalesce(fields[1], substr(sha256(text || record_number), 1, 32)) end as event_id,
    fields[2] as project_id,
    fields[3] as type,
    fields[4] as event,
    fields[5] as category,
    fields[6] as user_id,
    fields[7] as anonymous_id,
    fields[8] as session_id,
    fields[9] as timestamp,
    fields[10] as sent_at,
    fields[11] as received_at,
    fields[12] as protocol,
    fields[13] as properties,
    fields[14] as context,
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
