-- Project days whose daily metrics differ from a recount of the events.
with

visits as (
    select
        project_id,
        cast(event_time as date) as date,
        event,
        user_id,
        is_bot
    from events
    where event_time >= $start and event_time < $end
),

recounted as (
    select
        project_id,
        date,
        'events' as metric,
        count(*) as value
    from visits
    group by project_id, date
    union all
    select
        project_id,
        date,
        'page_views' as metric,
        count(case when event = 'page_view' and not is_bot then 1 end) as value
    from visits
    group by project_id, date
    union all
    select
        project_id,
        date,
        'users' as metric,
        count(distinct user_id) as value
    from visits
    group by project_id, date
),

stored as (
    select
        project_id,
        date,
        metric,
        value
    from daily_metrics
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and metric in ('events', 'page_views', 'users')
)

select
    coalesce(recounted.project_id, stored.project_id) as project_id,
    coalesce(recounted.date, stored.date) as date,
    coalesce(recounted.metric, stored.metric) as metric,
    recounted.value as recounted,
    stored.value as stored
from recounted
full join stored
    on
        recounted.project_id = stored.project_id
        and recounted.date = stored.date
        and recounted.metric = stored.metric
where recounted.value is distinct from stored.value
