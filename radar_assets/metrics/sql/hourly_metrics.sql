-- `metrics/composition.py` adds columns to `of_events`, and a branch to the last select, for each metric.
with

hits as not materialized (
    select
        *,
        date_trunc('hour', event_time) as hour,
        replace(replace(lower(event), ' ', '_'), '-', '_') as event_name
    from events
    where event_time >= $start and event_time < $end
),

-- Users that visitors were seen as within the hour.
identities as (
    select
        project_id,
        hour,
        visitor_id,
        min(user_id) as user_id
    from hits
    where user_id is not null
    group by project_id, hour, visitor_id
),

named_hits as (
    select
        hits.*,
        coalesce(hits.user_id, identities.user_id, hits.visitor_id) as visitor
    from hits
    left join identities
        on
            hits.project_id = identities.project_id
            and hits.hour = identities.hour
            and hits.visitor_id = identities.visitor_id
),

of_events as materialized (
    select
        project_id,
        hour
    from named_hits
    group by project_id, hour
)

select
    project_id,
    hour,
    cast(null as varchar) as metric,
    cast(null as double) as value
from of_events
where false
