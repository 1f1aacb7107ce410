-- Received hours in which lines are neither accepted nor rejected, or both.
with

landed as (
    select
        received_hour,
        count(*) as lines,
        count(*) filter (where reason is null) as accepted
    from raw_events
    where received_hour >= $start and received_hour < $end
    group by received_hour
),

rejected as (
    select
        received_hour,
        count(*) as rejected
    from rejected_events
    where received_hour >= $start and received_hour < $end
    group by received_hour
)

select
    coalesce(landed.received_hour, rejected.received_hour) as received_hour,
    coalesce(landed.lines, 0) as lines,
    coalesce(landed.accepted, 0) as accepted,
    coalesce(rejected.rejected, 0) as rejected
from landed
full join rejected on landed.received_hour = rejected.received_hour
where coalesce(landed.lines, 0) <> coalesce(landed.accepted, 0) + coalesce(rejected.rejected, 0)
