-- Project days on which the values of a dimension don't add up to the events or sessions of the day.
with

counted as (
    select
        project_id,
        date,
        'event' as kind,
        count(*) as events,
        count(case when event = 'page_view' then 1 end) as page_views,
        cast(null as bigint) as sessions
    from dated_events
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and not is_bot
        and is_internal is not true
    group by project_id, date
    union all
    select
        project_id,
        date,
        'session' as kind,
        sum(events) as events,
        sum(page_views) as page_views,
        count(*) as sessions
    from sessions
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and not is_bot
        and is_internal is not true
    group by project_id, date
),

summed as (
    select
        project_id,
        date,
        dimension,
        case when dimension in ('page', 'event') then 'event' else 'session' end as kind,
        sum(events) as events,
        sum(page_views) as page_views,
        sum(sessions) as sessions
    from daily_breakdowns
    where date >= cast($start as date) and date < cast($end as date)
    group by project_id, date, dimension
),

dimensions as (
    select distinct
        dimension,
        kind
    from summed
),

-- Each dimension that has a value anywhere is expected on all days.
expected as (
    select
        counted.*,
        dimensions.dimension
    from counted
    inner join dimensions on counted.kind = dimensions.kind
    union all
    select
        counted.*,
        case when counted.kind = 'event' then 'page' else 'channel' end as dimension
    from counted
    where counted.kind not in (select summed.kind from summed)
)

select
    coalesce(expected.project_id, summed.project_id) as project_id,
    coalesce(expected.date, summed.date) as date,
    coalesce(expected.dimension, summed.dimension) as dimension,
    cast(expected.events as bigint) as events,
    cast(summed.events as bigint) as events_in_breakdown,
    cast(expected.page_views as bigint) as page_views,
    cast(summed.page_views as bigint) as page_views_in_breakdown,
    cast(expected.sessions as bigint) as sessions,
    cast(summed.sessions as bigint) as sessions_in_breakdown
from expected
full join summed
    on
        expected.project_id = summed.project_id
        and expected.date = summed.date
        and expected.dimension = summed.dimension
where
    expected.events is distinct from summed.events
    or expected.page_views is distinct from summed.page_views
    or expected.sessions is distinct from summed.sessions
