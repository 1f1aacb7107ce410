select
    daily_metrics.project_id,
    daily_metrics.metric,
    cast(daily_metrics.date as timestamp) as window_start,
    cast(daily_metrics.date as timestamp) + interval 1 day as window_end,
    daily_metrics.value
from daily_metrics
semi join measures on daily_metrics.metric = measures.metric
