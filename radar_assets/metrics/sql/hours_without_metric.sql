-- The hours that have metrics, but no value of this one for any project.
select hour as starts_at
from hourly_metrics
group by hour
having not bool_or(metric = $metric)
order by hour
