-- Event hours in which accepted lines are not exactly the events and the copies of events.
--
-- A line is a copy when a line with the same ids within an hour to either side was received before it; counted here by
-- comparing every pair, and not by rank as the table itself is made.
with

accepted as (
    select
        project_id,
        event_id,
        date_trunc('hour', event_time) as hour,
        row(
            received_at, event_time, type, event, anonymous_id, user_id, session_id, sent_at, category, protocol,
            properties, context, received_hour, segment, line_number
        ) as arrival
    from raw_events
    where reason is null
),

repeated as (
    select
        project_id,
        event_id
    from accepted
    group by project_id, event_id
    having count(*) > 1
),

candidates as (
    select * from accepted
    where (project_id, event_id) in (select (project_id, event_id) from repeated)
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
        hour,
        count(*) as accepted
    from accepted
    where hour >= $start and hour < $end
    group by hour
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
