-- Rejected lines received since $since, optionally of one reason or project, as lines to validate again.
select
    received_hour,
    segment,
    line_number,
    reason as rejected_for,
    line,
    try(decode(line)) as text,
    cast(null as varchar) as problem
from rejected_events
where
    line is not null
    and received_hour >= $since
    and ($reason is null or reason = $reason)
    and ($project is null or project_id = $project)
