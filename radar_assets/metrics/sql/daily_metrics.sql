-- For each metric, `metrics/composition.py` adds columns to `of_events` or `of_sessions`
-- and a branch to the last select.
with

hits as not materialized (
    select
        * exclude (event_name, is_internal, is_interactive, is_from_server, local_time),
        coalesce(is_internal, false) as is_internal,
        coalesce(is_interactive, true) as is_interactive,
        coalesce(is_from_server, false) as is_from_server,
        not is_bot as is_human,
        is_internal is not true as is_external,
        not is_bot and is_internal is not true as is_counted,
        -- Files of earlier versions have no names.
        coalesce(event_name, replace(replace(lower(event), ' ', '_'), '-', '_')) as event_name
    from dated_events
    where date >= cast($start as date) and date < cast($end as date)
),

-- Users that visitors were seen as within the day.
identities as (
    select
        project_id,
        date,
        visitor_id,
        min(user_id) as user_id
    from hits
    where user_id is not null and is_counted
    group by project_id, date, visitor_id
),

-- The same by the sender's session id, for visits that change their anonymous id or stop sending it.
visit_identities as (
    select
        project_id,
        date,
        session_id,
        min(user_id) as user_id
    from hits
    where user_id is not null and session_id is not null and is_counted
    group by project_id, date, session_id
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
            and hits.date = identities.date
            and hits.visitor_id = identities.visitor_id
    left join visit_identities
        on
            hits.project_id = visit_identities.project_id
            and hits.date = visit_identities.date
            and hits.session_id = visit_identities.session_id
    left join names on hits.event_name = names.event_name
),

of_events as materialized (
    select
        project_id,
        date
    from named_hits
    group by project_id, date
),

visits as (
    select *
    from sessions
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and not is_bot
        and is_internal is not true
),

-- Further users of a visit, as at a shared computer, have a row of their own, which counts for visitors only.
people as (
    select
        visits.*,
        true as is_counted,
        coalesce(visits.user_id, identities.user_id, visits.visitor_id) as visitor
    from visits
    left join identities
        on
            visits.project_id = identities.project_id
            and visits.date = identities.date
            and visits.visitor_id = identities.visitor_id
    union all
    select
        visits.*,
        false as is_counted,
        unnest(json_extract_string(other_user_ids, '$[*]')) as visitor
    from visits
    where other_user_ids is not null
),

-- A day of events without a visit has one row here that doesn't count, so that it gets its zeros.
named_visits as (
    select
        people.* exclude (project_id, date, duration_s, is_counted),
        of_events.project_id,
        of_events.date,
        cast(people.duration_s as decimal(18, 6)) as duration_s,
        coalesce(people.is_counted, false) as is_counted
    from of_events
    left join people
        on
            of_events.project_id = people.project_id
            and of_events.date = people.date
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
