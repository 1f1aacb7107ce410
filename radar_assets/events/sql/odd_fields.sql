-- Accepted lines with warnings, by project and warning, and all accepted lines of the project. Empty fields are left
-- out, since nothing of them is lost and some SDKs send them with every event.
with

grouped as materialized (
    select
        project_id,
        warnings,
        count(*) as lines
    from raw_events
    where
        received_hour >= $start
        and received_hour < $end
        and reason is null
    group by project_id, warnings
),

projects as (
    select
        project_id,
        cast(sum(lines) as bigint) as lines
    from grouped
    group by project_id
),

counted as (
    select
        project_id,
        warning,
        cast(sum(lines) as bigint) as odd
    from (
        select
            project_id,
            lines,
            unnest(string_split(warnings, ', ')) as warning
        from grouped
        where warnings is not null
    ) as warned
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
