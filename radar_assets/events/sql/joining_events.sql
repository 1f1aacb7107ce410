-- Events from servers, with the thread that each joins: the one in which its device, or else its person, was last
-- active in the 30 minutes before. A person's ids are those seen together on the day of the event, in either order; in
-- the first half hour of a day, those seen together on the day before count, too. Only events that share an id with an
-- event from a server are compared.
with

joining as materialized (
    select
        project_id,
        event_id,
        visitor_id,
        anonymous_id,
        user_id,
        event_time,
        local_time,
        date,
        received_at,
        sequence,
        path,
        is_bot,
        coalesce(is_internal, false) as is_internal,
        revenue,
        is_interactive,
        order_id,
        order_event,
        refund
    from dated_events
    where
        is_from_server
        and event_time >= $start - interval 54 hours
        and event_time < $end + interval 3 days
),

own_ids as materialized (
    select
        project_id,
        event_id,
        event_time,
        local_time,
        kind,
        id
    from joining
    unpivot (id for kind in (anonymous_id, user_id))
),

-- Events that may share an id with one of them. This and `active` find events by hash, in one scan for all kinds of
-- ids; the joins below compare the ids themselves.
related as materialized (
    select distinct
        project_id,
        date as day,
        anonymous_id,
        user_id,
        session_id
    from dated_events
    where
        event_time >= $start - interval 54 hours
        and event_time < $end + interval 3 days
        and (
            hash(project_id, anonymous_id) in (select hash(own_ids.project_id, own_ids.id) from own_ids)
            or hash(project_id, user_id) in (select hash(own_ids.project_id, own_ids.id) from own_ids)
        )
),

-- Which ids were seen together with an id of an event from a server.
together as (
    select
        *,
        'anonymous_id' as own_kind,
        anonymous_id as own_id
    from related
    where anonymous_id is not null
    union all
    select
        *,
        'user_id' as own_kind,
        user_id as own_id
    from related
    where user_id is not null
),

seen_together as (
    select
        project_id,
        own_kind,
        own_id,
        day,
        kind,
        id
    from together
    unpivot (id for kind in (anonymous_id, user_id, session_id))
),

-- All ids of the person. The half hours in which it may have been active make the joins below narrow.
ids as materialized (
    select distinct
        known.project_id,
        known.event_id,
        known.event_time,
        known.kind,
        known.id,
        unnest([known.half_hour, known.half_hour - interval 30 minutes]) as half_hour
    from (
        select
            project_id,
            event_id,
            event_time,
            kind,
            id,
            time_bucket(interval 30 minutes, event_time) as half_hour
        from own_ids
        union all
        select
            own_ids.project_id,
            own_ids.event_id,
            own_ids.event_time,
            seen_together.kind,
            seen_together.id,
            time_bucket(interval 30 minutes, own_ids.event_time) as half_hour
        from own_ids
        inner join seen_together
            on
                own_ids.project_id = seen_together.project_id
                and own_ids.kind = seen_together.own_kind
                and own_ids.id = seen_together.own_id
                and seen_together.day in (
                    cast(own_ids.local_time as date),
                    cast(own_ids.local_time - interval 30 minutes as date)
                )
    ) as known
),

active as materialized (
    select
        project_id,
        visitor_id,
        anonymous_id,
        user_id,
        session_id,
        event_time,
        received_at,
        sequence,
        event_id,
        is_bot,
        coalesce(is_internal, false) as is_internal,
        time_bucket(interval 30 minutes, event_time) as half_hour
    from events
    where
        is_from_server is not true
        and (
            hash(project_id, anonymous_id, half_hour) in (select hash(ids.project_id, ids.id, ids.half_hour) from ids)
            or hash(project_id, user_id, half_hour) in (select hash(ids.project_id, ids.id, ids.half_hour) from ids)
            or hash(project_id, session_id, half_hour) in (select hash(ids.project_id, ids.id, ids.half_hour) from ids)
        )
),

met as (
    select
        ids.event_id as joining_id,
        ids.event_time as joining_at,
        active.*
    from active
    inner join ids
        on
            active.project_id = ids.project_id
            and active.anonymous_id = ids.id
            and ids.kind = 'anonymous_id'
            and active.half_hour = ids.half_hour
    union all
    select
        ids.event_id as joining_id,
        ids.event_time as joining_at,
        active.*
    from active
    inner join ids
        on
            active.project_id = ids.project_id
            and active.user_id = ids.id
            and ids.kind = 'user_id'
            and active.half_hour = ids.half_hour
    union all
    select
        ids.event_id as joining_id,
        ids.event_time as joining_at,
        active.*
    from active
    inner join ids
        on
            active.project_id = ids.project_id
            and active.session_id = ids.id
            and ids.kind = 'session_id'
            and active.half_hour = ids.half_hour
),

-- On a shared device, the activity of another user is only that of the device.
ranked as (
    select
        joining.*,
        coalesce(met.session_id, met.visitor_id) as thread,
        met.session_id is null as is_of_device,
        row_number() over (
            partition by joining.project_id, joining.event_id, joining.event_time
            order by
                (joining.anonymous_id = met.anonymous_id) is true desc,
                met.event_time desc,
                met.received_at desc,
                met.sequence desc nulls last,
                met.event_id desc,
                met.visitor_id desc
        ) as place
    from joining
    inner join met
        on
            joining.project_id = met.project_id
            and joining.event_id = met.joining_id
            and joining.event_time = met.joining_at
    where
        met.event_time between joining.event_time - interval 30 minutes and joining.event_time
        and met.is_bot = joining.is_bot
        and met.is_internal = joining.is_internal
        and (
            joining.anonymous_id = met.anonymous_id
            or joining.user_id is null
            or met.user_id is null
            or joining.user_id = met.user_id
        )
)

select * exclude (place, local_time)
from ranked
where place = 1
