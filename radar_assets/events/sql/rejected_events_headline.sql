-- Rejected lines in total and by reason.
select
    received_hour as starts_at,
    case when grouping(reason) = 0 then 'reason' end as dimension,
    reason as label,
    'rejected' as measure,
    count(*) as value
from rejected_events
group by grouping sets ((received_hour), (received_hour, reason))
