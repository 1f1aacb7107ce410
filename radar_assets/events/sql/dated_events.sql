-- Events with the time on the clocks of their project, and its date.
select
    events.*,
    events.event_time + coalesce(utc_offsets.utc_offset, interval 0 hours) as local_time,
    cast(events.event_time + coalesce(utc_offsets.utc_offset, interval 0 hours) as date) as date
from events
left join utc_offsets
    on
        events.project_id = utc_offsets.project_id
        and events.event_time >= utc_offsets.starts_at
        and events.event_time < utc_offsets.ends_at
