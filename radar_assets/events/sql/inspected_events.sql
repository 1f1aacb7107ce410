-- The events with an id, or of a visitor in [$start, $end), each with the visit whose time and people it falls into.
select
    events.*,
    sessions.session_id as visit_id,
    sessions.started_at as visit_started_at,
    sessions.ended_at as visit_ended_at,
    sessions.visitor_id as visit_visitor_id,
    sessions.events as visit_events,
    sessions.entry_page as visit_entry_page,
    sessions.exit_page as visit_exit_page,
    sessions.channel as visit_channel,
    sessions.is_bounce as visit_is_bounce
from events
left join sessions
    on
        events.project_id = sessions.project_id
        and events.event_time between sessions.started_at and sessions.ended_at
        and case
            when events.session_id is not null then events.session_id = sessions.sender_session_id
            else
                events.visitor_id = sessions.visitor_id
                or events.user_id = sessions.user_id
                or events.anonymous_id = sessions.visitor_id
        end
where
    ($project_id is null or events.project_id = $project_id)
    and (
        events.event_id = $event_id
        or (
            $visitor in (events.visitor_id, events.anonymous_id, events.user_id)
            and events.event_time >= $start
            and events.event_time < $end
        )
    )
qualify
    row_number() over (
        partition by events.project_id, events.event_id, events.event_time
        order by
            sessions.sender_session_id is not distinct from events.session_id desc,
            sessions.visitor_id = events.visitor_id desc,
            sessions.started_at desc
    ) = 1
order by events.event_time, events.received_at, events.sequence, events.event_id
