-- The sessions of a day [$start, $end) outside the rebuilt window: those that were computed again, and all others.
-- Sessions of active threads were computed again until $rebuilt_until.
select *
from rebuilt_sessions
where started_at >= $start and started_at < $end
union all by name
select *
from sessions
where
    started_at >= $start
    and started_at < $end
    and (project_id, session_id) not in (
        select (rebuilt_sessions.project_id, rebuilt_sessions.session_id)
        from rebuilt_sessions
    )
    and (
        started_at >= $rebuilt_until
        or hash(project_id, coalesce(sender_session_id, visitor_id), sender_session_id is null) not in (
            select thread_hash from active_threads
        )
    )
