-- For each metric, `metrics/composition.py` adds columns to `of_events` or `of_sessions`
-- and a branch to the last select.
with

hits as not materialized (
    select
        -- Files of earlier versions have no names.
        * replace (coalesce(event_name, replace(replace(lower(event), ' ', '_'), '-', '_')) as event_name),
        cast(event_time as date) as date
    from events
    where event_time >= $start and event_time < $end
),

-- Users that visitors were seen as within the day.
identities as (
    select
        project_id,
        date,
        visitor_id,
        min(user_id) as user_id
    from hits
    where user_id is not null
    group by project_id, date, visitor_id
),

named_hits as (
    select
        hits.*,
        coalesce(hits.user_id, identities.user_id, hits.visitor_id) as visitor
    from hits
    left join identities
        on
            hits.project_id = identities.project_id
            and hits.date = identities.date
            and hits.visitor_id = identities.visitor_id
),

of_events as materialized (
    select
        project_id,
        date
    from named_hits
    group by project_id, date
),

visits as (
    select
        *,
        cast(started_at as date) as date
    from sessions
    where
        started_at >= $start
        and started_at < $end
        and not is_bot
),

-- A day of events without a visit has one row here without a session, so that it gets its zeros.
named_visits as (
    select
        visits.* exclude (project_id, date, duration_s),
        of_events.project_id,
        of_events.date,
        cast(visits.duration_s as decimal(18, 6)) as duration_s,
        coalesce(visits.user_id, identities.user_id, visits.visitor_id) as visitor
    from of_events
    left join visits
        on
            of_events.project_id = visits.project_id
            and of_events.date = visits.date
    left join identities
        on
            visits.project_id = identities.project_id
            and visits.date = identities.date
            and visits.visitor_id = identities.visitor_id
),

of_sessions as materialized (
    select
        project_id,
        date
    from named_visits
    group by project_id, date
)

select
    project_id,
    date,
    cast(null as varchar) as metric,
    cast(null as double) as value
from of_events
where false
