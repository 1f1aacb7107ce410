-- Visitors whose sessions a build of the window [$start, $end) may change: those with an event or a session in it.
with

present as (
    select distinct
        project_id,
        visitor_id
    from events
    where event_time >= $start and event_time < $end
),

past as (
    select distinct
        project_id,
        visitor_id
    from sessions
    where started_at < $end and ended_at >= $start
)

select
    project_id,
    visitor_id
from present
union
select
    project_id,
    visitor_id
from past
