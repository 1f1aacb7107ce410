-- Ids that occur more than once: at most an hour apart, or received within $dedupe_days of each other.
with

-- A narrow scan finds candidates by hash. Collisions only add candidates.
repeated as (
    select hash(project_id, event_id) as id_hash
    from events
    group by id_hash
    having count(*) > 1
),

occurrences as (
    select
        events.project_id,
        events.event_id,
        events.received_hour,
        date_trunc('hour', events.event_time) as hour,
        row_number() over (
            partition by events.project_id, events.event_id order by events.event_time
        ) as occurrence
    from events
    semi join repeated on hash(events.project_id, events.event_id) = repeated.id_hash
)

select distinct
    early.project_id,
    early.event_id,
    early.hour,
    late.hour as next_hour
from occurrences as early
inner join occurrences as late
    on
        early.project_id = late.project_id
        and early.event_id = late.event_id
        and early.occurrence < late.occurrence
where
    (
        late.hour <= early.hour + interval 1 hour
        or late.received_hour between early.received_hour - to_days($dedupe_days)
        and early.received_hour + to_days($dedupe_days)
    )
    and ((early.hour >= $start and early.hour < $end) or (late.hour >= $start and late.hour < $end))
