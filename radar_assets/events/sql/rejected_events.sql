-- The rejected lines of the received hours in [$start, $end).
select
    received_hour,
    segment,
    line_number,
    reason,
    detail,
    line,
    octet_length(line) as size_bytes,
    project_id
from raw_events
where
    reason is not null
    and received_hour >= $start
    and received_hour < $end
