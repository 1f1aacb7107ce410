select
    hourly_metrics.project_id,
    hourly_metrics.metric,
    hourly_metrics.hour as window_start,
    hourly_metrics.hour + interval 1 hour as window_end,
    hourly_metrics.value
from hourly_metrics
semi join measures on hourly_metrics.metric = measures.metric
