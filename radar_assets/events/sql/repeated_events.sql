-- Ids that occur more than once within an hour before or after their event hour.
with

-- A narrow scan finds candidates by hash. Collisions only add candidates.
repeated as (
    select hash(project_id, event_id) as id_hash
    from events
    group by id_hash
    having count(*) > 1
),

spaced as (
    select
        events.project_id,
        events.event_id,
        date_trunc('hour', events.event_time) as hour,
        lead(date_trunc('hour', events.event_time)) over (
            partition by events.project_id, events.event_id order by events.event_time
        ) as next_hour
    from events
    semi join repeated on hash(events.project_id, events.event_id) = repeated.id_hash
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
