-- The days that have metrics, but no value of this one for any project.
select date as starts_at
from daily_metrics
group by date
having not bool_or(metric = $metric)
order by date
