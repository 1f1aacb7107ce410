-- Days of projects whose events differ from those of the sessions that start on the day or the day before.
with

counted as (
    select
        project_id,
        cast(event_time as date) as day,
        count(*) as events
    from events
    where event_time >= $start and event_time < $end
    group by project_id, cast(event_time as date)
),

shares as (
    select
        project_id,
        cast(started_at as date) as day,
        events - events_after_midnight as events
    from sessions
    union all
    select
        project_id,
        cast(started_at as date) + 1 as day,
        events_after_midnight as events
    from sessions
),

in_sessions as (
    select
        project_id,
        day,
        sum(events) as events
    from shares
    where day >= cast($start as date) and day < cast($end as date)
    group by project_id, day
)

select
    coalesce(counted.project_id, in_sessions.project_id) as project_id,
    coalesce(counted.day, in_sessions.day) as day,
    coalesce(counted.events, 0) as events,
    cast(coalesce(in_sessions.events, 0) as bigint) as events_in_sessions
from counted
full join in_sessions on counted.project_id = in_sessions.project_id and counted.day = in_sessions.day
where coalesce(counted.events, 0) <> coalesce(in_sessions.events, 0)
