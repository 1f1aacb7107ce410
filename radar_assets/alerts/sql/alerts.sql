-- The alerts of the store that fired in these hours, one row per alert.
select
    -- alert
    alert_id,
    rule,
    kind,
    severity,
    project_id,
    subject,

    -- time and value
    started_at,
    fired_at,
    ended_at,
    windows,
    value,
    threshold,

    -- outcome
    state,
    announced_at,
    acknowledged_at,
    acknowledged_by,
    resolved_at
from stored_alerts
where fired_at >= $start and fired_at < $end
order by fired_at, alert_id
