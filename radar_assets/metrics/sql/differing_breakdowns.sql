-- Project days on which the values of an event dimension don't add up to the events of the day.
with

counted as (
    select
        project_id,
        cast(event_time as date) as date,
        unnest(['page', 'event']) as dimension,
        count(*) as events
    from events
    where event_time >= $start and event_time < $end
    group by project_id, cast(event_time as date)
),

summed as (
    select
        project_id,
        date,
        dimension,
        sum(events) as events
    from daily_breakdowns
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and dimension in ('page', 'event')
    group by project_id, date, dimension
)

select
    coalesce(counted.project_id, summed.project_id) as project_id,
    coalesce(counted.date, summed.date) as date,
    coalesce(counted.dimension, summed.dimension) as dimension,
    counted.events,
    cast(summed.events as bigint) as events_in_breakdown
from counted
full join summed
    on
        counted.project_id = summed.project_id
        and counted.date = summed.date
        and counted.dimension = summed.dimension
where counted.events is distinct from summed.events
