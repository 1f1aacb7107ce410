-- Lines that don't count because their event id was received before, although they differ in content: another
-- visitor, another event or another page. Such ids come from poor random generators, bots, and misused SDKs.
with

received as not materialized (
    select * from raw_events
    where reason is null
    union all by name
    select * from related_rows
),

-- Few ids occur more than once: a narrow scan finds candidates by hash. Collisions only add candidates.
repeated as (
    select hash(project_id, event_id) as id_hash
    from received
    group by id_hash
    having count(*) > 1
),

candidates as materialized (
    select
        received.*,
        events.line_number is not null as is_event
    from received
    semi join repeated on hash(received.project_id, received.event_id) = repeated.id_hash
    left join events
        on
            received.received_hour = events.received_hour
            and received.segment = events.segment
            and received.line_number = events.line_number
),

left_out as (
    select *
    from candidates
    where not is_event and event_time >= $start and event_time < $end
),

firsts as (
    select *
    from candidates
    where is_event or event_time < $start or event_time >= $end
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
