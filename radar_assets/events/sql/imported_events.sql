-- Canonical events, one line each, from records with named fields. Records that are not events have a null line.
with filled as (
    select
        record_number,
        is_event,
        coalesce($field_constants.event_id, event_id) as event_id,
        coalesce($field_constants.project_id, project_id) as project_id,
        coalesce($field_constants.type, type) as type,
        coalesce($field_constants.event, event) as event,
        coalesce($field_constants.category, category) as category,
        coalesce($field_constants.user_id, user_id) as user_id,
        coalesce($field_constants.anonymous_id, anonymous_id) as anonymous_id,
        coalesce($field_constants.session_id, session_id) as session_id,
        coalesce($field_constants.timestamp, timestamp) as timestamp,
        coalesce($field_constants.sent_at, sent_at) as sent_at,
        coalesce($field_constants.received_at, received_at) as received_at,
        coalesce($field_constants.protocol, protocol) as protocol,
        coalesce($field_constants.properties, properties) as properties,
        coalesce($field_constants.context, context) as context,
        other_members,
        property_members,
        context_members
    from records
),

timed as (
    select
        *,
        -- Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970: the unit that gives a year before
        -- 5138. Lines received by this import get no `sent_at`: the delay says nothing about the sender's clock.
        list_transform(
            [coalesce(received_at, $now), timestamp, if(received_at is null, null, sent_at)],
            lambda sent: case
                when try_cast(sent as double) is null then make_timestamp(epoch_us(try_cast(sent as timestamptz)))
                when abs(try_cast(sent as double)) < 1e11 then make_timestamp((try_cast(sent as double) * 1e6)::bigint)
                when abs(try_cast(sent as double)) < 1e14 then make_timestamp((try_cast(sent as double) * 1e3)::bigint)
                when abs(try_cast(sent as double)) < 1e17 then make_timestamp(try_cast(sent as double)::bigint)
                when abs(try_cast(sent as double)) < 1e20 then make_timestamp((try_cast(sent as double) / 1e3)::bigint)
            end
        ) as converted,
        -- If properties or context is not an object, it becomes a member of that name. Objects may contain line breaks,
        -- which JSON allows and NDJSON does not.
        case
            when try(json_type(properties)) = 'OBJECT' then replace(properties, chr(10), ' ')
            else coalesce('{"properties":' || to_json(properties) || '}', '{}')
        end as given_properties,
        case
            when try(json_type(context)) = 'OBJECT' then replace(context, chr(10), ' ')
            else coalesce('{"context":' || to_json(context) || '}', '{}')
        end as given_context
    from filled
),

merged as (
    select
        *,
        {
            'received_at': converted[1],
            'timestamp': converted[2],
            'sent_at': converted[3]
        } as times,
        case
            when other_members is null and property_members is null and $property_constants = '{}' then given_properties
            else
                json_merge_patch(
                    given_properties,
                    coalesce(other_members, '{}'),
                    coalesce(property_members, '{}'),
                    $property_constants
                )
        end as all_properties,
        case
            when context_members is null and $context_constants = '{}' then given_context
            else json_merge_patch(given_context, coalesce(context_members, '{}'), $context_constants)
        end as all_context
    from timed
)

select
    record_number,
    is_event,
    project_id,
    if(is_event, times.received_at, null) as received_at,
    -- Invalid times stay as they are, and the contract rejects them.
    if(
        is_event,
        concat(
            '{"event_id":',
            to_json(event_id),
            ',"project_id":' || to_json(project_id),
            ',"type":' || to_json(type),
            ',"event":' || to_json(event),
            ',"category":' || to_json(category),
            ',"user_id":' || to_json(user_id),
            ',"anonymous_id":' || to_json(anonymous_id),
            ',"session_id":' || to_json(session_id),
            ',"timestamp":' || to_json(coalesce(strftime(times.timestamp, '%Y-%m-%dT%H:%M:%S.%fZ'), timestamp)),
            ',"sent_at":'
            || case
                when received_at is not null
                    then to_json(coalesce(strftime(times.sent_at, '%Y-%m-%dT%H:%M:%S.%fZ'), sent_at))
            end,
            ',"received_at":',
            to_json(coalesce(strftime(times.received_at, '%Y-%m-%dT%H:%M:%S.%fZ'), received_at)),
            ',"properties":' || nullif(all_properties::varchar, '{}'),
            ',"context":' || nullif(all_context::varchar, '{}'),
            ',"protocol":',
            to_json(coalesce(protocol, 'import')),
            '}',
            chr(10)
        ),
        null
    ) as line
from merged
