-- Metrics of events by windows of one width: an hour, or five minutes for alert rules, which no table holds.
-- `metrics/composition.py` sets the width and, for each metric, adds columns to `of_events` and a branch to the last
-- select.
with

hits as not materialized (
    select
        -- Files of earlier versions have no names.
        * replace (coalesce(event_name, replace(replace(lower(event), ' ', '_'), '-', '_')) as event_name),
        time_bucket($width, event_time) as window_start
    from events
    where event_time >= $start and event_time < $end
),

-- Users that visitors were seen as within the window.
identities as (
    select
        project_id,
        window_start,
        visitor_id,
        min(user_id) as user_id
    from hits
    where user_id is not null
    group by project_id, window_start, visitor_id
),

named_hits as (
    select
        hits.*,
        coalesce(hits.user_id, identities.user_id, hits.visitor_id) as visitor
    from hits
    left join identities
        on
            hits.project_id = identities.project_id
            and hits.window_start = identities.window_start
            and hits.visitor_id = identities.visitor_id
),

of_events as materialized (
    select
        project_id,
        window_start
    from named_hits
    group by project_id, window_start
)

select
    project_id,
    window_start,
    cast(null as varchar) as metric,
    cast(null as double) as value
from of_events
where false
