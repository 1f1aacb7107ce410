-- The sessions of a day [$start, $end) beside the rebuilt window: those of the active visitors as rebuilt, those of all
-- other visitors as they are.
select *
from rebuilt_sessions
where started_at >= $start and started_at < $end
union all by name
select *
from sessions
where
    started_at >= $start
    and started_at < $end
    and hash(project_id, visitor_id) not in (select visitor_hash from active_visitors)
