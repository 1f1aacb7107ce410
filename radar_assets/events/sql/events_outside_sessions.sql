-- Days of projects whose events differ from those of the sessions that start on the day or the day before. Automatic
-- events outside all sessions are counted one by one. Events from servers may be in a session or not; there can't be
-- more of them outside than there are.
with

counted as (
    select
        project_id,
        cast(event_time as date) as day,
        count(*) as events,
        count(case when is_from_server then 1 end) as events_from_servers
    from events
    where event_time >= $start and event_time < $end
    group by project_id, cast(event_time as date)
),

automatic as (
    select
        project_id,
        coalesce(session_id, visitor_id) as thread,
        session_id is null as is_of_device,
        is_bot,
        is_internal is true as is_internal,
        event_time
    from events
    where
        event_time >= $start
        and event_time < $end
        and not is_interactive
        and is_from_server is not true
),

visits as (
    select
        project_id,
        coalesce(sender_session_id, visitor_id) as thread,
        sender_session_id is null as is_of_device,
        is_bot,
        is_internal is true as is_internal,
        started_at,
        ended_at
    from sessions
),

outside as (
    select
        automatic.project_id,
        cast(automatic.event_time as date) as day,
        count(*) as events
    from automatic
    anti join visits
        on
            automatic.project_id = visits.project_id
            and automatic.thread = visits.thread
            and automatic.is_of_device = visits.is_of_device
            and automatic.is_bot = visits.is_bot
            and automatic.is_internal = visits.is_internal
            and automatic.event_time between visits.started_at and visits.ended_at
    group by automatic.project_id, cast(automatic.event_time as date)
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
),

accounted as (
    select
        coalesce(counted.project_id, in_sessions.project_id) as project_id,
        coalesce(counted.day, in_sessions.day) as day,
        coalesce(counted.events, 0) as events,
        coalesce(counted.events_from_servers, 0) as events_from_servers,
        cast(coalesce(in_sessions.events, 0) as bigint) as events_in_sessions,
        coalesce(outside.events, 0) as automatic_events_outside
    from counted
    full join in_sessions on counted.project_id = in_sessions.project_id and counted.day = in_sessions.day
    left join outside on counted.project_id = outside.project_id and counted.day = outside.day
)

select
    project_id,
    day,
    events,
    events_from_servers,
    events_in_sessions,
    automatic_events_outside
from accounted
where events - events_in_sessions - automatic_events_outside not between 0 and events_from_servers
