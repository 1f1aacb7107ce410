-- Sessions that start in [$start, $end): those of the active visitors as rebuilt and, on a day that is only amended,
-- those of all other visitors as they are.
select *
from rebuilt_sessions
where started_at >= $start and started_at < $end
union all by name
select *
from sessions
where
    started_at >= $start
    and started_at < $end
    and (project_id, visitor_id) not in (select (project_id, visitor_id) from active_visitors)
