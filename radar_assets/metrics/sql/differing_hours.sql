-- Hours of projects whose metrics differ from a recount of the events. The sums of such metrics over the hours of a day
-- are the day's, which are recounted in the same way.
with

hits as (
    select
        project_id,
        date_trunc('hour', event_time) as hour,
        event,
        not is_bot and is_internal is not true as is_counted
    from events
    where event_time >= $start and event_time < $end
),

recounted as (
    select
        project_id,
        hour,
        'events' as metric,
        count(case when is_counted then 1 end) as value
    from hits
    group by project_id, hour
    union all
    select
        project_id,
        hour,
        'page_views' as metric,
        count(case when event = 'page_view' and is_counted then 1 end) as value
    from hits
    group by project_id, hour
),

stored as (
    select
        project_id,
        hour,
        metric,
        value
    from hourly_metrics
    where hour >= $start and hour < $end and metric in ('events', 'page_views')
)

select
    coalesce(recounted.project_id, stored.project_id) as project_id,
    coalesce(recounted.hour, stored.hour) as hour,
    coalesce(recounted.metric, stored.metric) as metric,
    recounted.value as recounted,
    stored.value as stored
from recounted
full join stored
    on
        recounted.project_id = stored.project_id
        and recounted.hour = stored.hour
        and recounted.metric = stored.metric
where recounted.value is distinct from stored.value
