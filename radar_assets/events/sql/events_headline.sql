-- Events in total and by project.
with

hits as (
    select
        date_trunc('hour', event_time) as starts_at,
        project_id
    from events
)

select
    starts_at,
    case when grouping(project_id) = 0 then 'project' end as dimension,
    project_id as label,
    'events' as measure,
    count(*) as value
from hits
group by grouping sets ((starts_at), (starts_at, project_id))
