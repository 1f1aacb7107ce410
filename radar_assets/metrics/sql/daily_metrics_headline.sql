-- Metrics in total and by project. The total means something only for metrics that add up over projects.
select
    date as starts_at,
    case when grouping(project_id) = 0 then 'project' end as dimension,
    project_id as label,
    metric as measure,
    sum(value) as value
from daily_metrics
group by grouping sets ((date, metric), (date, metric, project_id))
