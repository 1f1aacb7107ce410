-- The sessions of a single day without adjacent days: all visitors are new, and no visit crosses midnight.
-- The columns about a visit's origin are read for its first page view only, so that few columns are sorted.
with

activity as (
    select
        project_id,
        visitor_id,
        session_id,
        event_time,
        event_id,
        user_id,
        event = 'page_view' as is_page_view,
        path,
        is_bot,
        revenue,
        file_row_number,
        lag(event_time) over visit as previous_at,
        row_number() over visit as place
    from events
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
            order by place
            rows between unbounded preceding and current row
        ) as run_started_at,
        time_bucket(interval 12 hours, event_time, timestamp '2000-01-01 06:00:00') as half_day
    from activity
),

cut as (
    select
        *,
        case when half_day >= run_started_at + interval 12 hours then half_day else run_started_at end as cut_at,
        case when is_page_view then place else place + 1000000000000 end as landing_place
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
        arg_min(user_id, place) filter (where user_id is not null) as user_id,
        bool_or(is_bot) as is_bot,
        coalesce(sum(revenue), 0) as revenue,
        arg_min(path, place) filter (where is_page_view) as entry_page,
        arg_max(path, place) filter (where is_page_view) as exit_page,
        arg_min(file_row_number, landing_place) as landing
    from cut
    group by project_id, visitor_id, session_id, run_started_at, cut_at
)

select
    md5(to_json([
        visits.project_id, visits.visitor_id, visits.sender_session_id, cast(epoch_us(visits.started_at) as varchar)
    ])) as session_id,
    visits.project_id,
    visits.visitor_id,
    visits.user_id,
    visits.sender_session_id,
    visits.started_at,
    visits.ended_at,
    epoch_us(visits.ended_at - visits.started_at) / 1000000 as duration_s,
    visits.events,
    0 as events_after_midnight,
    visits.page_views,
    visits.page_views = 1 and visits.events = 1 as is_bounce,
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
    visits.revenue
from visits
inner join events on visits.landing = events.file_row_number
