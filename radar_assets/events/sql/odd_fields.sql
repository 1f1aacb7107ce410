-- Accepted lines with warnings, by project and warning, and all accepted lines of the project. Empty fields are left
-- out, since nothing of them is lost and some SDKs send them with every event.
with

projects as (
    select
        project_id,
        count(*) as lines
    from raw_events
    where
        received_hour >= $start
        and received_hour < $end
        and reason is null
    group by project_id
),

warned as (
    select
        project_id,
        unnest(string_split(warnings, ', ')) as warning
    from raw_events
    where
        received_hour >= $start
        and received_hour < $end
        and warnings is not null
),

counted as (
    select
        project_id,
        warning,
        count(*) as odd
    from warned
    where not ends_with(warning, ': empty')
    group by project_id, warning
)

select
    counted.project_id,
    counted.warning,
    projects.lines,
    counted.odd
from counted
inner join projects on counted.project_id = projects.project_id
order by counted.odd desc, counted.project_id asc, counted.warning asc
