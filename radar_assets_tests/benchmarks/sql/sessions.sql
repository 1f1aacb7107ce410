-- The sessions of a single day without adjacent days: all visitors are new, no visit crosses midnight, and nobody shares
-- a device. The columns about a visit's origin are read for its first page view only, so that few columns are sorted.
with

activity as (
    select
        project_id,
        coalesce(session_id, visitor_id) as thread,
        session_id is null as is_of_device,
        visitor_id,
        event_time,
        received_at,
        sequence,
        event_id,
        user_id,
        event = 'page_view' as is_page_view,
        path,
        is_bot,
        is_internal,
        revenue,
        is_interactive,
        is_interactive as is_start,
        order_id,
        order_event,
        refund
    from events
    where not is_from_server
    union all
    select
        project_id,
        thread,
        is_of_device,
        visitor_id,
        event_time,
        received_at,
        sequence,
        event_id,
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
        refund
    from joining_events
),

ordered as (
    select
        *,
        lag(event_time) over thread_so_far as previous_at,
        row_number() over thread_so_far as place
    from activity
    window thread_so_far as (
        partition by project_id, thread, is_of_device, is_bot, is_internal
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
        partition by project_id, thread, is_of_device, is_bot, is_internal
        order by place
        rows between unbounded preceding and current row
    )
),

cut as (
    select
        *,
        case when half_day >= run_started_at + interval 12 hours then half_day else run_started_at end as cut_at,
        place
        + case
            when is_page_view then 0
            when is_start then 1000000000000
            else 2000000000000
        end as landing_place
    from runs
),

visits as (
    select
        project_id,
        thread,
        is_of_device,
        arg_min(visitor_id, place) as visitor_id,
        min(event_time) as started_at,
        max(event_time) as ended_at,
        count(*) as events,
        count(*) filter (where is_page_view) as page_views,
        arg_min(user_id, place) filter (where user_id is not null) as user_id,
        is_bot,
        is_internal,
        coalesce(sum(revenue), 0) as revenue,
        count(*) filter (where is_interactive) as interactions,
        count(*) filter (where order_event = 'purchase') as orders,
        coalesce(sum(refund), 0) as refunds,
        arg_min(path, place) filter (where is_page_view) as entry_page,
        arg_max(path, place) filter (where is_page_view) as exit_page,
        arg_min(event_id, landing_place) as landing_id,
        arg_min(event_time, landing_place) as landing_time
    from cut
    where interactive_at >= cut_at
    group by project_id, thread, is_of_device, is_bot, is_internal, run_started_at, cut_at
)

select
    md5(
        to_json([
            visits.project_id,
            case when visits.is_of_device then visits.thread end,
            case when not visits.is_of_device then visits.thread end,
            epoch_us(visits.started_at)
            || case when visits.is_bot then ' bot' else '' end
            || case when visits.is_internal then ' internal' else '' end
        ])
    ) as session_id,
    visits.project_id,
    visits.visitor_id,
    visits.user_id,
    case when not visits.is_of_device then visits.thread end as sender_session_id,
    visits.started_at,
    visits.ended_at,
    epoch_us(visits.ended_at - visits.started_at) / 1000000 as duration_s,
    visits.events,
    0 as events_after_midnight,
    visits.page_views,
    visits.page_views = 1 and visits.interactions = 1 as is_bounce,
    true as is_new_visitor,
    visits.entry_page,
    visits.exit_page,
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
    events.country,
    visits.is_bot,
    visits.revenue,
    visits.interactions,
    visits.orders,
    visits.refunds,
    visits.is_internal,
    cast(null as varchar) as other_user_ids,
    cast(visits.started_at as date) as date
from visits
inner join events
    on
        visits.project_id = events.project_id
        and visits.landing_id = events.event_id
        and visits.landing_time = events.event_time
