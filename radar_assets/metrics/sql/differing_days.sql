-- Project days whose daily metrics differ from a recount of events and sessions.
with

hits as (
    select
        project_id,
        date,
        event,
        user_id,
        not is_bot and is_internal is not true as is_counted
    from dated_events
    where date >= cast($start as date) and date < cast($end as date)
),

recounted as (
    select
        project_id,
        date,
        'events' as metric,
        count(case when is_counted then 1 end) as value
    from hits
    group by project_id, date
    union all
    select
        project_id,
        date,
        'page_views' as metric,
        count(case when event = 'page_view' and is_counted then 1 end) as value
    from hits
    group by project_id, date
    union all
    select
        project_id,
        date,
        'users' as metric,
        count(distinct case when is_counted then user_id end) as value
    from hits
    group by project_id, date
    union all
    -- Sessions have a value on days with events, which may be 0.
    select
        days.project_id,
        days.date,
        'sessions' as metric,
        count(visits.session_id) as value
    from (
        select distinct
            project_id,
            date
        from hits
    ) as days
    left join (
        select
            project_id,
            date,
            session_id
        from sessions
        where
            date >= cast($start as date)
            and date < cast($end as date)
            and not is_bot
            and is_internal is not true
    ) as visits
        on days.project_id = visits.project_id and days.date = visits.date
    group by days.project_id, days.date
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
        and metric in ('events', 'page_views', 'users', 'sessions')
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
