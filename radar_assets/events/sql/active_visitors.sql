-- Visitors whose sessions may change when the window [$start, $end) is built: those with an event or a session in it.
-- Visitors are identified by a hash. A collision only adds a visitor, whose sessions are then computed again unchanged.
select hash(project_id, visitor_id) as visitor_hash
from events
where event_time >= $start and event_time < $end
union
select hash(project_id, visitor_id) as visitor_hash
from sessions
where started_at < $end and ended_at >= $start
