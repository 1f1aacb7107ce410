-- Metrics in total and by project. The total means something only for metrics that add up over projects.
select
    hour as starts_at,
    case when grouping(project_id) = 0 then 'project' end as dimension,
    project_id as label,
    metric as measure,
    sum(value) as value
from hourly_metrics
group by grouping sets ((hour, metric), (hour, metric, project_id))
