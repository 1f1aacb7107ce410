-- Canonical events, one line each, from records with named fields. Records that are not events have a null line.
with parsed as (
    select
        record_number,
        is_event,
        coalesce(($field_constants::varchar[])[1], event_id) as event_id,
        coalesce(($field_constants::varchar[])[2], project_id) as project_id,
        coalesce(($field_constants::varchar[])[3], type) as type,
        coalesce(($field_constants::varchar[])[4], event) as event,
        coalesce(($field_constants::varchar[])[5], category) as category,
        coalesce(($field_constants::varchar[])[6], user_id) as user_id,
        coalesce(($field_constants::varchar[])[7], anonymous_id) as anonymous_id,
        coalesce(($field_constants::varchar[])[8], session_id) as session_id,
        coalesce(($field_constants::varchar[])[9], timestamp) as timestamp,
        coalesce(($field_constants::varchar[])[10], sent_at) as sent_at,
        coalesce(($field_constants::varchar[])[11], received_at) as received_at,
        coalesce(($field_constants::varchar[])[12], protocol) as protocol,
        coalesce(($field_constants::varchar[])[13], properties) as properties,
        coalesce(($field_constants::varchar[])[14], context) as context,
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
        ) as times,
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
    from parsed
),

merged as (
    select
        *,
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
    if(is_event, times[1], null) as received_at,
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
            ',"timestamp":' || to_json(coalesce(strftime(times[2], '%Y-%m-%dT%H:%M:%S.%fZ'), timestamp)),
            ',"sent_at":'
            || if(received_at is null, null, to_json(coalesce(strftime(times[3], '%Y-%m-%dT%H:%M:%S.%fZ'), sent_at))),
            ',"received_at":',
            to_json(coalesce(strftime(times[1], '%Y-%m-%dT%H:%M:%S.%fZ'), received_at)),
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
