-- Metrics of events by windows of one width: an hour, or five minutes for alert rules, which no table holds.
-- `metrics/composition.py` sets the width and, for each metric, adds columns to `of_events` and a branch to the last
-- select.
with

hits as not materialized (
    select
        * exclude (event_name, is_internal, is_interactive, is_from_server),
        coalesce(is_internal, false) as is_internal,
        coalesce(is_interactive, true) as is_interactive,
        coalesce(is_from_server, false) as is_from_server,
        not is_bot as is_human,
        is_internal is not true as is_external,
        not is_bot and is_internal is not true as is_counted,
        time_bucket($width, event_time) as window_start,
        -- Files of earlier versions have no names.
        coalesce(event_name, replace(replace(lower(event), ' ', '_'), '-', '_')) as event_name
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
    where user_id is not null and is_counted
    group by project_id, window_start, visitor_id
),

-- The same by the sender's session id, for visits that change their anonymous id or stop sending it.
visit_identities as (
    select
        project_id,
        window_start,
        session_id,
        min(user_id) as user_id
    from hits
    where user_id is not null and session_id is not null and is_counted
    group by project_id, window_start, session_id
),

-- What the names mean, computed once for each, since there are few.
names as (
    select
        event_name,
        $meaning as meaning
    from (select distinct event_name from hits) as distinct_names
),

named_hits as (
    select
        hits.*,
        names.meaning,
        coalesce(hits.user_id, identities.user_id, visit_identities.user_id, hits.visitor_id) as visitor
    from hits
    left join identities
        on
            hits.project_id = identities.project_id
            and hits.window_start = identities.window_start
            and hits.visitor_id = identities.visitor_id
    left join visit_identities
        on
            hits.project_id = visit_identities.project_id
            and hits.window_start = visit_identities.window_start
            and hits.session_id = visit_identities.session_id
    left join names on hits.event_name = names.event_name
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
