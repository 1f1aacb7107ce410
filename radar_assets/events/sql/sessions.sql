-- The sessions of the active visitors that start from one day before $start on, computed again.
--
-- A run of activity ends when the visitor is idle for more than 30 minutes, or for more than 12 hours between events
-- with the sender's own session id. A run is cut at every 06:00 and 18:00 UTC that is 12 hours or more after its start,
-- so that no session lasts 24 hours. So only the 36 hours before an event decide its session, in whatever order events
-- arrived, and an event may move cuts in the 36 hours after it. The 30 days before decide whether a visitor is new;
-- later days in which this changes are included.
with

activity as (
    select
        project_id,
        visitor_id,
        session_id,
        event_id,
        event_time,
        user_id,
        event = 'page_view' as is_page_view,
        path,
        is_bot,
        revenue,
        is_interactive,
        order_id,
        order_event,
        refund,
        lag(event_time) over visit as previous_at,
        row_number() over visit as event_number
    from events
    where
        event_time >= $start - interval 54 hours
        and event_time < $end + interval 3 days
        and hash(project_id, visitor_id) in (select visitor_hash from active_visitors)
    window visit as (
        partition by project_id, visitor_id, session_id
        order by event_time, event_id
    )
),

runs as (
    select
        *,
        max(
            case
                when
                    previous_at is null
                    or event_time - previous_at
                    > case when session_id is null then interval 30 minutes else interval 12 hours end
                    then event_time
            end
        ) over (
            partition by project_id, visitor_id, session_id
            order by event_number
            rows between unbounded preceding and current row
        ) as run_started_at,
        time_bucket(interval 12 hours, event_time, timestamp '2000-01-01 06:00:00') as half_day
    from activity
),

cut as (
    select
        *,
        case
            when half_day >= run_started_at + interval 12 hours then half_day
            else run_started_at
        end as cut_at,
        -- The first page view defines the origin of the visit, or else its first event.
        case when is_page_view then event_number else event_number + 1000000000000 end as landing_rank
    from runs
),

visits as (
    select
        project_id,
        visitor_id,
        session_id as sender_session_id,
        min(event_time) as started_at,
        max(event_time) as ended_at,
        count(*) as events,
        count(*) filter (where is_page_view) as page_views,
        arg_min(user_id, event_number) filter (where user_id is not null) as user_id,
        bool_or(is_bot) as is_bot,
        coalesce(sum(revenue), 0) as revenue,
        count(*) filter (where is_interactive) as interactions,
        count(*) filter (where order_event = 'purchase') as orders,
        coalesce(sum(refund), 0) as refunds,
        arg_min(path, event_number) filter (where is_page_view) as entry_page,
        arg_max(path, event_number) filter (where is_page_view) as exit_page,
        -- A session spans at most two days, and one of two consecutive days is even.
        count(*) filter (where epoch_us(event_time) // 86400000000 % 2 = 0) as events_on_even_days,
        arg_min(event_id, landing_rank) as landing_id,
        arg_min(event_time, landing_rank) as landing_time
    from cut
    group by project_id, visitor_id, session_id, run_started_at, cut_at
    having min(event_time) >= $start - interval 1 day
),

-- The columns about the origin are read for that event alone, so that they needn't be sorted with all events.
landed as (
    select
        visits.*,
        events.referrer,
        events.referrer_domain,
        events.channel,
        events.utm_source,
        events.utm_medium,
        events.utm_campaign,
        events.utm_term,
        events.utm_content,
        events.browser,
        events.os,
        events.device_type,
        events.country
    from visits
    inner join events
        on
            visits.project_id = events.project_id
            and visits.landing_id = events.event_id
            and visits.landing_time = events.event_time
),

rebuilt as (
    select
        md5(to_json([project_id, visitor_id, sender_session_id, cast(epoch_us(started_at) as varchar)])) as session_id,
        project_id,
        visitor_id,
        user_id,
        sender_session_id,
        started_at,
        ended_at,
        epoch_us(ended_at - started_at) / 1000000 as duration_s,
        events,
        case
            when date_trunc('day', started_at) = date_trunc('day', ended_at) then 0
            when epoch_us(ended_at) // 86400000000 % 2 = 0 then events_on_even_days
            else events - events_on_even_days
        end as events_after_midnight,
        page_views,
        page_views = 1 and events = 1 as is_bounce,
        entry_page,
        exit_page,
        referrer,
        referrer_domain,
        channel,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        browser,
        os,
        device_type,
        country,
        is_bot,
        revenue,
        interactions,
        orders,
        refunds
    from landed
),

-- Few columns, since this reads sixty days.
known as (
    select
        project_id,
        visitor_id,
        started_at,
        is_new_visitor
    from sessions
    where
        (
            (started_at >= $start - interval 31 days and started_at < $start - interval 1 day)
            or (started_at >= $end + interval 2 days and started_at < $end + interval 32 days)
        )
        and hash(project_id, visitor_id) in (select visitor_hash from active_visitors)
),

visitor_days as (
    select
        project_id,
        visitor_id,
        day,
        lag(day) over visits_before as previous_day
    from (
        select
            project_id,
            visitor_id,
            date_trunc('day', started_at) as day
        from rebuilt
        where started_at < $end + interval 2 days
        union
        select
            project_id,
            visitor_id,
            date_trunc('day', started_at) as day
        from known
    ) as seen
    window visits_before as (partition by project_id, visitor_id order by day)
),

newness as (
    select
        project_id,
        visitor_id,
        day,
        previous_day is null or previous_day < day - interval 30 days as is_new_visitor
    from visitor_days
),

changed_days as (
    select distinct newness.day
    from newness
    inner join known
        on
            newness.project_id = known.project_id
            and newness.visitor_id = known.visitor_id
            and newness.day = date_trunc('day', known.started_at)
    where newness.day >= $end and newness.is_new_visitor <> known.is_new_visitor
),

either as (
    select * from rebuilt
    where started_at < $end + interval 2 days
    union all
    select
        session_id,
        project_id,
        visitor_id,
        user_id,
        sender_session_id,
        started_at,
        ended_at,
        duration_s,
        events,
        events_after_midnight,
        page_views,
        is_bounce,
        entry_page,
        exit_page,
        referrer,
        referrer_domain,
        channel,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        browser,
        os,
        device_type,
        country,
        is_bot,
        revenue,
        interactions,
        orders,
        refunds
    from sessions
    where
        date_trunc('day', started_at) in (select day from changed_days)
        and hash(project_id, visitor_id) in (select visitor_hash from active_visitors)
)

select
    either.session_id,
    either.project_id,
    either.visitor_id,
    either.user_id,
    either.sender_session_id,
    either.started_at,
    either.ended_at,
    either.duration_s,
    either.events,
    either.events_after_midnight,
    either.page_views,
    either.is_bounce,
    newness.is_new_visitor,
    either.entry_page,
    either.exit_page,
    either.referrer,
    either.referrer_domain,
    either.channel,
    either.utm_source,
    either.utm_medium,
    either.utm_campaign,
    either.utm_term,
    either.utm_content,
    either.browser,
    either.os,
    either.device_type,
    either.country,
    either.is_bot,
    either.revenue,
    either.interactions,
    either.orders,
    either.refunds
from either
inner join newness
    on
        either.project_id = newness.project_id
        and either.visitor_id = newness.visitor_id
        and date_trunc('day', either.started_at) = newness.day
where either.started_at >= $start - interval 1 day
