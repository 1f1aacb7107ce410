-- Values of days that say when the day ended for the project, in UTC.
select
    daily_metrics.project_id,
    daily_metrics.metric,
    cast(daily_metrics.date as timestamp) as window_start,
    coalesce(day_ends.ends_at, cast(daily_metrics.date as timestamp) + interval 1 day) as window_end,
    daily_metrics.value
from daily_metrics
semi join measures on daily_metrics.metric = measures.metric
left join day_ends
    on
        daily_metrics.project_id = day_ends.project_id
        and cast(daily_metrics.date as timestamp) = day_ends.starts_on
