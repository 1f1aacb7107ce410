-- What fired in these hours, as the store has it: one row an alert.
select
    -- Which alert
    alert_id,
    rule,
    kind,
    severity,
    project_id,
    subject,

    -- When and how much
    started_at,
    fired_at,
    ended_at,
    windows,
    value,
    threshold,

    -- What became of it
    state,
    announced_at,
    acknowledged_at,
    acknowledged_by,
    resolved_at
from stored_alerts
where fired_at >= $start and fired_at < $end
order by fired_at, alert_id
