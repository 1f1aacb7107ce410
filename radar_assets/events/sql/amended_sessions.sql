-- The sessions of a $day that was built before: those that were computed again, and all others. Sessions of active
-- threads that start from $rebuilt_from to before $rebuilt_until were computed again.
select *
from rebuilt_sessions
where date = $day
union all by name
select *
from sessions
where
    date = $day
    and (project_id, session_id) not in (
        select (rebuilt_sessions.project_id, rebuilt_sessions.session_id)
        from rebuilt_sessions
    )
    and (
        started_at < $rebuilt_from
        or started_at >= $rebuilt_until
        or hash(project_id, coalesce(sender_session_id, visitor_id), sender_session_id is null) not in (
            select thread_hash from active_threads
        )
    )
