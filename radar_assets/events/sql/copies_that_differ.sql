-- Lines that don't count because their event id was received before, although they tell of something else: another
-- visitor, another event or another page. Such ids come from poor random generators, bots, and misused SDKs.
with

left_out as (
    select raw_events.*
    from raw_events
    anti join events
        on
            raw_events.received_hour = events.received_hour
            and raw_events.segment = events.segment
            and raw_events.line_number = events.line_number
    where
        raw_events.reason is null
        and raw_events.event_time >= $start
        and raw_events.event_time < $end
),

-- The event that counts is in the window, or it is among the related rows.
others as (
    select raw_events.*
    from raw_events
    anti join left_out
        on
            raw_events.received_hour = left_out.received_hour
            and raw_events.segment = left_out.segment
            and raw_events.line_number = left_out.line_number
    where
        raw_events.reason is null
        and hash(raw_events.project_id, raw_events.event_id) in (
            select hash(missing.project_id, missing.event_id) from left_out as missing
        )
    union all by name
    select * from related_rows
),

firsts as (
    select *
    from others
    qualify row_number() over (partition by project_id, event_id order by received_at, event_time, type, event) = 1
),

compared as (
    select
        date_trunc('hour', left_out.event_time) as hour,
        left_out.project_id,
        left_out.event_id,
        concat_ws(
            ', ',
            case
                when
                    left_out.anonymous_id <> firsts.anonymous_id
                    or (
                        (left_out.anonymous_id is null or firsts.anonymous_id is null)
                        and left_out.user_id <> firsts.user_id
                    )
                    then 'visitor'
            end,
            case when left_out.type <> firsts.type or left_out.event <> firsts.event then 'event' end,
            case
                when
                    coalesce(
                        left_out.properties ->> '$.url',
                        left_out.properties ->> '$."$current_url"',
                        left_out.context ->> '$.page.url'
                    )
                    <> coalesce(
                        firsts.properties ->> '$.url',
                        firsts.properties ->> '$."$current_url"',
                        firsts.context ->> '$.page.url'
                    )
                    then 'page'
            end
        ) as differs_in
    from left_out
    inner join firsts on left_out.project_id = firsts.project_id and left_out.event_id = firsts.event_id
)

select
    hour,
    project_id,
    event_id,
    differs_in,
    count(*) as lines
from compared
where differs_in <> ''
group by hour, project_id, event_id, differs_in
order by hour, project_id, event_id, differs_in
