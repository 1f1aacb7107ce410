-- Days of projects whose events differ from those of the sessions that start on the day or before. Automatic events
-- outside all sessions are counted one by one. Events from servers may be in a session or not; there can't be more of
-- them outside than there are.
with

hits as (
    select *
    from dated_events
    where date >= cast($start as date) and date < cast($end as date)
),

counted as (
    select
        project_id,
        date as day,
        count(*) as events,
        count(case when is_from_server then 1 end) as events_from_servers
    from hits
    group by project_id, date
),

automatic as (
    select
        project_id,
        coalesce(session_id, visitor_id) as thread,
        session_id is null as is_of_device,
        is_bot,
        is_internal is true as is_internal,
        event_time,
        date
    from hits
    where not is_interactive and is_from_server is not true
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
        automatic.date as day,
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
    group by automatic.project_id, automatic.date
),

ending as (
    select
        sessions.project_id,
        sessions.date,
        sessions.events,
        sessions.events_after_midnight,
        cast(sessions.ended_at + coalesce(utc_offsets.utc_offset, interval 0 hours) as date) as last_date
    from sessions
    left join utc_offsets
        on
            sessions.project_id = utc_offsets.project_id
            and sessions.ended_at >= utc_offsets.starts_at
            and sessions.ended_at < utc_offsets.ends_at
),

shares as (
    select
        project_id,
        date as day,
        events - events_after_midnight as events
    from ending
    union all
    select
        project_id,
        last_date as day,
        events_after_midnight as events
    from ending
),

-- A session that spans a whole day of 23 hours doesn't tell which of its events fall on that day.
unknown as (
    select
        project_id,
        date as first_date,
        last_date
    from ending
    where last_date > date + 1
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
where
    events - events_in_sessions - automatic_events_outside not between 0 and events_from_servers
    and not exists (
        select 1
        from unknown
        where
            accounted.project_id = unknown.project_id
            and accounted.day > unknown.first_date
            and accounted.day <= unknown.last_date
    )
