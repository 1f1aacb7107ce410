-- The sessions of a day [$start, $end) outside the rebuilt window: rebuilt for the active visitors, unchanged for all
-- others.
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
