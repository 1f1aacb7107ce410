-- Visitors whose sessions a build of the window [$start, $end) may change: those with an event or a session in it. They
-- go by a hash, which may name too many, never too few: sessions worked out anew for nothing come out as they were.
select hash(project_id, visitor_id) as visitor_hash
from events
where event_time >= $start and event_time < $end
union
select hash(project_id, visitor_id) as visitor_hash
from sessions
where started_at < $end and ended_at >= $start
