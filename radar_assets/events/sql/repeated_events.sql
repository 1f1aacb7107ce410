-- Ids that occur more than once within an hour to either side of their event hour.
with

ids as (
    select
        project_id,
        event_id,
        date_trunc('hour', event_time) as hour
    from events
),

repeated as (
    select
        project_id,
        event_id
    from ids
    group by project_id, event_id
    having count(*) > 1
),

spaced as (
    select
        project_id,
        event_id,
        hour,
        lead(hour) over (partition by project_id, event_id order by hour) as next_hour
    from ids
    where (project_id, event_id) in (select (project_id, event_id) from repeated)
)

select
    project_id,
    event_id,
    hour,
    next_hour
from spaced
where
    next_hour <= hour + interval 1 hour
    and next_hour >= $start
    and hour < $end
