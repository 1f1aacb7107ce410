-- The top 1,000 values of each project, day and dimension by their events; the others together are `(other)`.
--
-- `page` and `event` are dimensions of single events, which count on the day on which they happen. The other dimensions
-- are those of sessions, which count with all their events on the day on which they start. Bots and internal traffic
-- are left out.
with

hits as not materialized (
    select
        project_id,
        date,
        visitor_id,
        user_id,
        session_id,
        path,
        event,
        coalesce(is_interactive and not is_from_server, true) as is_visit
    from dated_events
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and not is_bot
        and is_internal is not true
),

visits as not materialized (
    select *
    from sessions
    where
        date >= cast($start as date)
        and date < cast($end as date)
        and not is_bot
        and is_internal is not true
),

-- Users that visitors were seen as within the day.
identities as materialized (
    select
        project_id,
        date,
        visitor_id,
        min(user_id) as user_id
    from hits
    where user_id is not null
    group by project_id, date, visitor_id
),

-- The same by the sender's session id, for visits that change their anonymous id or stop sending it.
visit_identities as materialized (
    select
        project_id,
        date,
        session_id,
        min(user_id) as user_id
    from hits
    where user_id is not null and session_id is not null
    group by project_id, date, session_id
),

named_hits as not materialized (
    select
        hits.*,
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
),

named_visits as not materialized (
    select
        visits.*,
        cast(visits.session_id is not null as integer) as sessions,
        coalesce(visits.user_id, identities.user_id, visits.visitor_id) as visitor
    from visits
    left join identities
        on
            visits.project_id = identities.project_id
            and visits.date = identities.date
            and visits.visitor_id = identities.visitor_id
    union all
    -- Further users of a visit, as at a shared computer, count as visitors only.
    select
        visits.* replace (0 as events, 0 as page_views),
        0 as sessions,
        unnest(json_extract_string(visits.other_user_ids, '$[*]')) as visitor
    from visits
    where visits.other_user_ids is not null
),

appearances as (
    select
        project_id,
        date,
        visitor,
        0 as sessions,
        is_visit
    from named_hits
    union all
    select
        project_id,
        date,
        visitor,
        -- Who appears beside others is counted like visitors with several sessions.
        case when sessions = 0 then 2 else 1 end as sessions,
        true as is_visit
    from named_visits
),

-- People who only appear in automatic events or those of servers are not visitors.
visitors as (
    select
        project_id,
        date,
        visitor,
        sum(sessions) as sessions,
        bool_or(is_visit) as is_visitor
    from appearances
    group by project_id, date, visitor
),

-- Project days and visitors get numbers: grouping millions of rows by texts takes twice the time and memory.
numbered_visitors as materialized (
    select
        project_id,
        date,
        visitor,
        sessions,
        is_visitor,
        cast(dense_rank() over (order by project_id, date) as integer) as day_number,
        cast(row_number() over (order by project_id, date, visitor) as integer) as visitor_number
    from visitors
),

numbered_days as (
    select distinct
        day_number,
        project_id,
        date
    from numbered_visitors
),

numbered_hits as materialized (
    select
        numbered_visitors.day_number,
        coalesce(nullif(named_hits.path, ''), '(none)') as page,
        named_hits.event,
        case when named_hits.event = 'page_view' then 1 else 0 end as page_views,
        case when numbered_visitors.is_visitor then numbered_visitors.visitor_number end as visitor
    from named_hits
    inner join numbered_visitors
        on
            named_hits.project_id = numbered_visitors.project_id
            and named_hits.date = numbered_visitors.date
            and named_hits.visitor = numbered_visitors.visitor
),

-- Most visitors have one session a day, and so one value per dimension. They can be counted without distinct.
numbered_visits as materialized (
    select
        numbered_visitors.day_number,
        coalesce(nullif(named_visits.entry_page, ''), '(none)') as entry_page,
        coalesce(nullif(named_visits.exit_page, ''), '(none)') as exit_page,
        coalesce(nullif(named_visits.referrer_domain, ''), '(none)') as referrer,
        coalesce(nullif(named_visits.channel, ''), '(none)') as channel,
        coalesce(nullif(named_visits.utm_source, ''), '(none)') as utm_source,
        coalesce(nullif(named_visits.utm_medium, ''), '(none)') as utm_medium,
        coalesce(nullif(named_visits.utm_campaign, ''), '(none)') as utm_campaign,
        coalesce(nullif(named_visits.browser, ''), '(none)') as browser,
        coalesce(nullif(named_visits.os, ''), '(none)') as os,
        coalesce(nullif(named_visits.device_type, ''), '(none)') as device,
        coalesce(nullif(named_visits.country, ''), '(none)') as country,
        named_visits.events,
        named_visits.page_views,
        named_visits.sessions,
        case when numbered_visitors.sessions = 1 then 1 else 0 end as single_visitors,
        case when numbered_visitors.sessions > 1 then numbered_visitors.visitor_number end as visitor
    from named_visits
    inner join numbered_visitors
        on
            named_visits.project_id = numbered_visitors.project_id
            and named_visits.date = numbered_visitors.date
            and named_visits.visitor = numbered_visitors.visitor
),

counted as not materialized (
    select
        day_number,
        dimension,
        value,
        1 as events,
        page_views,
        cast(null as integer) as sessions,
        0 as single_visitors,
        visitor
    from numbered_hits
    unpivot (value for dimension in (page, event))
    union all
    select
        day_number,
        dimension,
        value,
        events,
        page_views,
        sessions,
        single_visitors,
        visitor
    from numbered_visits
    unpivot (
        value for dimension in (
            entry_page, exit_page, referrer, channel, utm_source, utm_medium, utm_campaign, browser, os, device, country
        )
    )
),

totals as (
    select
        day_number,
        dimension,
        value,
        sum(events) as events
    from counted
    group by day_number, dimension, value
),

-- A value that is itself named `(other)` belongs to the rest, and doesn't count among the top 1,000.
ranked as (
    select
        day_number,
        dimension,
        value,
        value <> '(other)' as is_ranked,
        row_number() over (
            partition by day_number, dimension, value <> '(other)'
            order by events desc, value asc
        ) as rank
    from totals
),

rest as (
    select
        day_number,
        dimension,
        value
    from ranked
    where not is_ranked or rank > 1000
),

listed as (
    select
        counted.day_number,
        counted.dimension,
        case when rest.value is null then counted.value else '(other)' end as value,
        counted.events,
        counted.page_views,
        counted.sessions,
        counted.single_visitors,
        counted.visitor
    from counted
    left join rest
        on
            counted.day_number = rest.day_number
            and counted.dimension = rest.dimension
            and counted.value = rest.value
),

summed as (
    select
        day_number,
        dimension,
        value,
        cast(sum(events) as bigint) as events,
        cast(sum(page_views) as bigint) as page_views,
        cast(sum(single_visitors) as bigint) + count(distinct visitor) as visitors,
        cast(sum(sessions) as bigint) as sessions
    from listed
    group by day_number, dimension, value
)

select
    numbered_days.project_id,
    numbered_days.date,
    summed.dimension,
    summed.value,
    summed.events,
    summed.page_views,
    summed.visitors,
    summed.sessions
from summed
inner join numbered_days on summed.day_number = numbered_days.day_number
