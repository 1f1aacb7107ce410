-- Shares of a window's lines: rejected, and late by more than an hour.
select
    count(*) as lines,
    count(*) filter (where reason is not null) as rejected,
    count(*) filter (where received_at > event_time + interval 1 hour) as late
from raw_events
where received_hour >= $start and received_hour < $end
