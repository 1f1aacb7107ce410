-- The lines that hold an event, in the order of their arrival, and whether the event of the table `events` is of this
-- line. A rejected line has no event id, so it is found by its bytes.
select
    raw_events.received_hour,
    raw_events.segment,
    raw_events.line_number,
    raw_events.line,
    raw_events.reason,
    raw_events.detail,
    raw_events.warnings,
    raw_events.received_at,
    events.event_id is not null as is_event
from raw_events
left join events
    on
        raw_events.received_hour = events.received_hour
        and raw_events.segment = events.segment
        and raw_events.line_number = events.line_number
        and events.event_id = $event_id
where
    coalesce(raw_events.event_id = $event_id, contains(hex(raw_events.line), hex(encode($event_id))))
    and ($project_id is null or raw_events.project_id = $project_id)
order by raw_events.received_at, raw_events.received_hour, raw_events.segment, raw_events.line_number
