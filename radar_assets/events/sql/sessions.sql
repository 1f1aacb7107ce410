-- The sessions of the active threads that start from one day before $start on, computed again. The window
-- [$start, $end) holds the days that are built, of all projects.
--
-- A thread is what the sender says is one visit: the events with its session id, whoever sent them. Without a session
-- id, it is what a device did. Bots and internal traffic have threads of their own. Events from servers join a thread,
-- or belong to none (`joining_events.sql`).
--
-- A run of activity ends when a thread is idle for more than 30 minutes, or for more than 12 hours if it has a session
-- id. A run is cut at every 06:00 and 18:00 UTC that is 12 hours or more after its start, so that no session lasts 24
-- hours. So only the 36 hours before an event decide its session, in whatever order events arrived, and an event may
-- move cuts in the 36 hours after it. Each part of a run starts with its first interactive event; what happened before
-- belongs to no session.
--
-- The 30 days before decide whether a visitor is new; later days in which this changes are included.
with

activity as (
    select
        *,
        -- Bots and internal traffic by thread, and whether the thread is of a device, in one number.
        cast(is_of_device as integer) + 2 * cast(is_bot as integer) + 4 * cast(is_internal as integer) as kind
    from (
        select
            project_id,
            coalesce(session_id, visitor_id) as thread,
            session_id is null as is_of_device,
            visitor_id,
            event_id,
            event_time,
            received_at,
            sequence,
            user_id,
            event = 'page_view' as is_page_view,
            path,
            is_bot,
            coalesce(is_internal, false) as is_internal,
            revenue,
            coalesce(is_interactive, true) as is_interactive,
            coalesce(is_interactive, true) as is_start,
            order_id,
            order_event,
            refund,
            date
        from dated_events
        where
            event_time >= $start - interval 54 hours
            and event_time < $end + interval 3 days
            and is_from_server is not true
        union all
        select
            project_id,
            thread,
            is_of_device,
            visitor_id,
            event_id,
            event_time,
            received_at,
            sequence,
            user_id,
            false as is_page_view,
            path,
            is_bot,
            is_internal,
            revenue,
            is_interactive,
            false as is_start,
            order_id,
            order_event,
            refund,
            date
        from joining_events
    ) as all_events
    where hash(project_id, thread, is_of_device) in (select thread_hash from active_threads)
),

ordered as (
    select
        *,
        lag(event_time) over thread_so_far as previous_at,
        row_number() over thread_so_far as event_number
    from activity
    window thread_so_far as (
        partition by project_id, thread, kind
        -- What happens at the time at which a session starts belongs to it.
        order by event_time, not is_start, received_at, sequence nulls first, event_id
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
                    > case when is_of_device then interval 30 minutes else interval 12 hours end
                    then event_time
            end
        ) over so_far as run_started_at,
        max(case when is_start then event_time end) over so_far as interactive_at,
        time_bucket(interval 12 hours, event_time, timestamp '2000-01-01 06:00:00') as half_day
    from ordered
    window so_far as (
        partition by project_id, thread, kind
        order by event_number
        rows between unbounded preceding and current row
    )
),

cut as (
    select
        *,
        case
            when half_day >= run_started_at + interval 12 hours then half_day
            else run_started_at
        end as cut_at,
        -- The first page view defines the origin of the visit, or else its first event.
        event_number
        + case
            when is_page_view then 0
            when is_start then 1000000000000
            else 2000000000000
        end as landing_rank
    from runs
),

visits as (
    select
        project_id,
        thread,
        is_of_device,
        arg_min(visitor_id, event_number) as visitor_id,
        min(event_time) as started_at,
        max(event_time) as ended_at,
        count(*) as events,
        count(*) filter (where is_page_view) as page_views,
        arg_min(user_id, event_number) filter (where user_id is not null) as user_id,
        min(user_id) as least_user_id,
        max(user_id) as greatest_user_id,
        is_bot,
        is_internal,
        coalesce(sum(revenue), 0) as revenue,
        count(*) filter (where is_interactive) as interactions,
        count(*) filter (where order_event = 'purchase') as orders,
        coalesce(sum(refund), 0) as refunds,
        arg_min(path, event_number) filter (where is_page_view) as entry_page,
        arg_max(path, event_number) filter (where is_page_view) as exit_page,
        arg_min(date, event_number) as date,
        -- A session spans at most three days. Of three consecutive days, the remainders differ.
        count(*) filter (where (date - date '1970-01-01') % 3 = 0) as events_on_first_days,
        count(*) filter (where (date - date '1970-01-01') % 3 = 1) as events_on_second_days,
        arg_min(event_id, landing_rank) as landing_id,
        arg_min(event_time, landing_rank) as landing_time
    from cut
    where interactive_at >= cut_at
    group by project_id, thread, is_of_device, is_bot, is_internal, run_started_at, cut_at
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

-- All users of the few visits with several, such as those at a shared computer.
shared as (
    select
        visits.project_id,
        visits.thread,
        visits.started_at,
        visits.is_of_device,
        visits.is_bot,
        visits.is_internal,
        cast(to_json(list(distinct events.user_id order by events.user_id)) as varchar) as other_user_ids
    from events
    inner join visits
        on
            events.project_id = visits.project_id
            and coalesce(events.session_id, events.visitor_id) = visits.thread
            and (events.session_id is null) = visits.is_of_device
            and events.is_bot = visits.is_bot
            and coalesce(events.is_internal, false) = visits.is_internal
            and events.event_time between visits.started_at and visits.ended_at
    where
        visits.least_user_id <> visits.greatest_user_id
        and events.user_id <> visits.user_id
        and events.is_from_server is not true
    group by
        visits.project_id,
        visits.thread,
        visits.started_at,
        visits.is_of_device,
        visits.is_bot,
        visits.is_internal
),

rebuilt as (
    select
        md5(
            to_json([
                landed.project_id,
                case when landed.is_of_device then landed.thread end,
                case when not landed.is_of_device then landed.thread end,
                epoch_us(landed.started_at)
                || case when landed.is_bot then ' bot' else '' end
                || case when landed.is_internal then ' internal' else '' end
            ])
        ) as session_id,
        landed.project_id,
        landed.visitor_id,
        landed.user_id,
        case when not landed.is_of_device then landed.thread end as sender_session_id,
        landed.started_at,
        landed.ended_at,
        epoch_us(landed.ended_at - landed.started_at) / 1000000 as duration_s,
        landed.events,
        landed.events - case (landed.date - date '1970-01-01') % 3
            when 0 then landed.events_on_first_days
            when 1 then landed.events_on_second_days
            else landed.events - landed.events_on_first_days - landed.events_on_second_days
        end as events_after_midnight,
        landed.page_views,
        landed.page_views = 1 and landed.interactions = 1 as is_bounce,
        landed.entry_page,
        landed.exit_page,
        landed.referrer,
        landed.referrer_domain,
        landed.channel,
        landed.utm_source,
        landed.utm_medium,
        landed.utm_campaign,
        landed.utm_term,
        landed.utm_content,
        landed.browser,
        landed.os,
        landed.device_type,
        landed.country,
        landed.is_bot,
        landed.revenue,
        landed.interactions,
        landed.orders,
        landed.refunds,
        landed.is_internal,
        shared.other_user_ids,
        landed.date
    from landed
    left join shared
        on
            landed.project_id = shared.project_id
            and landed.thread = shared.thread
            and landed.started_at = shared.started_at
            and landed.is_of_device = shared.is_of_device
            and landed.is_bot = shared.is_bot
            and landed.is_internal = shared.is_internal
    where landed.started_at < $end + interval 2 days
),

-- Sessions as they were before; few columns, since this reads sixty days.
before as (
    select
        session_id,
        project_id,
        visitor_id,
        user_id,
        other_user_ids,
        started_at,
        date,
        is_new_visitor,
        started_at >= $start - interval 1 day
        and started_at < $end + interval 2 days
        and hash(project_id, coalesce(sender_session_id, visitor_id), sender_session_id is null) in (
            select thread_hash from active_threads
        ) as is_rebuilt
    from sessions
    where started_at >= $start - interval 33 days and started_at < $end + interval 34 days
),

-- Devices and users whose days with a session may change, by hash. A collision only adds sessions to look at.
changing as (
    select
        hash(project_id, visitor_id) as visitor_hash,
        hash(project_id, user_id) as user_hash
    from rebuilt
    union
    select
        hash(project_id, visitor_id) as visitor_hash,
        hash(project_id, user_id) as user_hash
    from before
    where is_rebuilt
    union
    select
        null as visitor_hash,
        hash(project_id, unnest(json_extract_string(other_user_ids, '$[*]'))) as user_hash
    from (
        select
            project_id,
            other_user_ids
        from rebuilt
        union all
        select
            project_id,
            other_user_ids
        from before
        where is_rebuilt
    ) as shared_sessions
    where other_user_ids is not null
),

changing_devices as (
    select visitor_hash
    from changing
    where visitor_hash is not null
),

-- The other sessions that may be affected, and all sessions that decide on these and on the rebuilt ones.
affected as (
    select
        session_id,
        project_id,
        visitor_id,
        user_id,
        date,
        is_new_visitor
    from before
    where
        started_at >= $start
        and not is_rebuilt
        and (
            hash(project_id, visitor_id) in (select visitor_hash from changing_devices)
            or (user_id is not null and hash(project_id, user_id) in (select user_hash from changing))
        )
),

deciding as (
    select
        hash(project_id, visitor_id) as visitor_hash,
        hash(project_id, user_id) as user_hash
    from rebuilt
    union
    select
        hash(project_id, visitor_id) as visitor_hash,
        hash(project_id, user_id) as user_hash
    from affected
),

seen as (
    select
        project_id,
        visitor_id,
        user_id,
        other_user_ids,
        date as day
    from rebuilt
    union all
    select
        project_id,
        visitor_id,
        user_id,
        other_user_ids,
        date as day
    from before
    where
        not is_rebuilt
        and (
            hash(project_id, visitor_id) in (select visitor_hash from deciding)
            or (user_id is not null and hash(project_id, user_id) in (select user_hash from deciding))
            or other_user_ids is not null
        )
),

device_days as (
    select
        project_id,
        visitor_id,
        day,
        lag(day) over (partition by project_id, visitor_id order by day) as previous_day,
        max(case when is_anonymous then day end) over (
            partition by project_id, visitor_id
            order by day
            rows between unbounded preceding and 1 preceding
        ) as previous_anonymous_day
    from (
        select
            project_id,
            visitor_id,
            day,
            bool_or(user_id is null) as is_anonymous
        from seen
        group by project_id, visitor_id, day
    ) as devices
),

user_days as (
    select
        project_id,
        user_id,
        day,
        lag(day) over (partition by project_id, user_id order by day) as previous_day
    from (
        select
            project_id,
            user_id,
            day
        from seen
        where user_id is not null
        union
        select
            project_id,
            unnest(json_extract_string(other_user_ids, '$[*]')) as user_id,
            day
        from seen
        where other_user_ids is not null
    ) as users
),

-- A visitor is new if, in the 30 days before, neither the user had a session, nor the device before somebody signed in.
-- An anonymous visitor is new if the device had no session.
newness as (
    select
        judged.project_id,
        judged.session_id,
        judged.was_new,
        case
            when judged.user_id is null
                then coalesce(device_days.previous_day < device_days.day - interval 30 days, true)
            else
                coalesce(user_days.previous_day < user_days.day - interval 30 days, true)
                and coalesce(device_days.previous_anonymous_day < device_days.day - interval 30 days, true)
        end as is_new_visitor
    from (
        select
            project_id,
            session_id,
            visitor_id,
            user_id,
            date,
            null as was_new
        from rebuilt
        union all
        select
            project_id,
            session_id,
            visitor_id,
            user_id,
            date,
            is_new_visitor as was_new
        from affected
    ) as judged
    inner join device_days
        on
            judged.project_id = device_days.project_id
            and judged.visitor_id = device_days.visitor_id
            and judged.date = device_days.day
    left join user_days
        on
            judged.project_id = user_days.project_id
            and judged.user_id = user_days.user_id
            and judged.date = user_days.day
),

changed as (
    select
        project_id,
        session_id,
        is_new_visitor
    from newness
    where was_new <> is_new_visitor
),

either as (
    select * from rebuilt
    union all
    select
        sessions.session_id,
        sessions.project_id,
        sessions.visitor_id,
        sessions.user_id,
        sessions.sender_session_id,
        sessions.started_at,
        sessions.ended_at,
        sessions.duration_s,
        sessions.events,
        sessions.events_after_midnight,
        sessions.page_views,
        sessions.is_bounce,
        sessions.entry_page,
        sessions.exit_page,
        sessions.referrer,
        sessions.referrer_domain,
        sessions.channel,
        sessions.utm_source,
        sessions.utm_medium,
        sessions.utm_campaign,
        sessions.utm_term,
        sessions.utm_content,
        sessions.browser,
        sessions.os,
        sessions.device_type,
        sessions.country,
        sessions.is_bot,
        sessions.revenue,
        sessions.interactions,
        sessions.orders,
        sessions.refunds,
        sessions.is_internal,
        sessions.other_user_ids,
        sessions.date
    from sessions
    semi join changed
        on sessions.project_id = changed.project_id and sessions.session_id = changed.session_id
    where sessions.started_at >= $start and sessions.started_at < $end + interval 34 days
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
    either.refunds,
    either.is_internal,
    either.other_user_ids,
    either.date
from either
inner join newness on either.project_id = newness.project_id and either.session_id = newness.session_id
