-- Threads whose sessions may change when the window [$start, $end) is built: those with an event or a session in it.
-- Half an hour around it counts too, since events from servers join a thread that was active in the 30 minutes before.
-- Threads are identified by a hash. A collision only adds a thread, whose sessions are then computed again unchanged.
select hash(project_id, coalesce(session_id, visitor_id), session_id is null) as thread_hash
from events
where
    event_time >= $start - interval 30 minutes
    and event_time < $end + interval 30 minutes
    and is_from_server is not true
union
select hash(project_id, coalesce(sender_session_id, visitor_id), sender_session_id is null) as thread_hash
from sessions
where started_at < $end and ended_at >= $start
