-- Sessions, their bounce rate and their median duration, in total and by project, without bots.
with

visits as (
    select
        date as starts_at,
        project_id,
        is_bounce,
        duration_s
    from sessions
    where not is_bot
),

counted as (
    select
        starts_at,
        case when grouping(project_id) = 0 then 'project' end as dimension,
        project_id as label,
        cast(count(*) as double) as sessions,
        avg(cast(is_bounce as integer)) as bounce_rate,
        median(duration_s) as median_duration
    from visits
    group by grouping sets ((starts_at), (starts_at, project_id))
)

select
    starts_at,
    dimension,
    label,
    measure,
    value
from counted
unpivot (value for measure in (sessions, bounce_rate, median_duration))
