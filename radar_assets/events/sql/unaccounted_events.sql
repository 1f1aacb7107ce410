-- Event hours in which accepted lines are not exactly the events and the copies of events.
--
-- A line is a copy when a line with the same ids within an hour to either side was received before it; counted here by
-- comparing every pair, and not by rank as the table itself is made.
with

-- Few ids occur more than once: a narrow scan finds them by hash, which may name too many, never too few.
repeated as (
    select hash(project_id, event_id) as id_hash
    from raw_events
    where reason is null
    group by id_hash
    having count(*) > 1
),

-- Lines of one id that were received in the same instant and happened in the same instant are in the same hour, so that
-- any order among them gives the same count.
candidates as (
    select
        raw_events.project_id,
        raw_events.event_id,
        date_trunc('hour', raw_events.event_time) as hour,
        row(
            raw_events.received_at, raw_events.event_time,
            raw_events.received_hour, raw_events.segment, raw_events.line_number
        ) as arrival
    from raw_events
    semi join repeated on hash(raw_events.project_id, raw_events.event_id) = repeated.id_hash
    where raw_events.reason is null
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
                and early.hour >= late.hour - interval 1 hour
                and early.hour <= late.hour + interval 1 hour
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
