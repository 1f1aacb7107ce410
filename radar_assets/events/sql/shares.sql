-- Shares of a window's lines by project: rejected, and late by more than an hour. Lines without a readable project are
-- compared with all lines.
select
    project_id,
    case when project_id is null then cast(sum(count(*)) over () as bigint) else count(*) end as lines,
    count(*) filter (where reason is not null) as rejected,
    count(*) filter (where received_at > event_time + interval 1 hour) as late
from raw_events
where received_hour >= $start and received_hour < $end
group by project_id
order by project_id
