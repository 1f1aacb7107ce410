-- The distinct user agents of a window, parsed before events.sql joins them. Both read the same fields.
with

sent as (
    select
        coalesce(
            json_extract_string(context, '/userAgent'),
            json_extract_string(context, '/user_agent'),
            json_extract_string(properties, '/$raw_user_agent')
        ) as user_agent
    from raw_events
    where
        reason is null
        and event_time >= $start
        and event_time < $end
)

select user_agent
from sent
group by user_agent
-- A condition on each line would parse its JSON once more.
having count(user_agent) > 0
