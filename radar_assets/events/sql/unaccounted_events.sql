-- Event hours in which the accepted lines are not exactly the events and their copies.
--
-- A line is a copy if a line with the same ids was received before it, at most $dedupe_days before or about an event at
-- most one hour away. This compares every pair, independently of the table's SQL, which uses ranks.
with

received as not materialized (
    select * from raw_events
    where reason is null
    union all by name
    select * from related_rows
),

-- Few ids occur more than once: a narrow scan finds candidates by hash. Collisions only add candidates.
repeated as (
    select hash(project_id, event_id) as id_hash
    from received
    group by id_hash
    having count(*) > 1
),

-- Lines with the same id, received time and event time are in the same hour, so any order among them gives the same
-- count.
candidates as (
    select
        received.project_id,
        received.event_id,
        received.received_hour,
        date_trunc('hour', received.event_time) as hour,
        row(
            received.received_at, received.event_time,
            received.received_hour, received.segment, received.line_number
        ) as arrival
    from received
    semi join repeated on hash(received.project_id, received.event_id) = repeated.id_hash
),

copies as (
    select
        late.hour,
        count(*) as copies
    from candidates as late
    where
        exists (
            select 1
            from candidates as early
            where
                early.project_id = late.project_id
                and early.event_id = late.event_id
                and (
                    early.hour between late.hour - interval 1 hour and late.hour + interval 1 hour
                    or early.received_hour between late.received_hour - to_days($dedupe_days)
                    and late.received_hour + to_days($dedupe_days)
                )
                and early.arrival < late.arrival
        )
    group by late.hour
),

lines as (
    select
        date_trunc('hour', event_time) as hour,
        count(*) as accepted
    from raw_events
    where reason is null and event_time >= $start and event_time < $end
    group by date_trunc('hour', event_time)
),

counted as (
    select
        date_trunc('hour', event_time) as hour,
        count(*) as events
    from events
    where event_time >= $start and event_time < $end
    group by date_trunc('hour', event_time)
)

select
    coalesce(lines.hour, counted.hour) as hour,
    coalesce(lines.accepted, 0) as accepted,
    coalesce(counted.events, 0) as events,
    coalesce(copies.copies, 0) as copies
from lines
full join counted on lines.hour = counted.hour
left join copies on coalesce(lines.hour, counted.hour) = copies.hour
where coalesce(lines.accepted, 0) <> coalesce(counted.events, 0) + coalesce(copies.copies, 0)
