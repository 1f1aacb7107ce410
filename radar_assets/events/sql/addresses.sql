-- The distinct addresses of clients in a window, compared with those of internal traffic before events.sql joins them.
select distinct json_extract_string(context, '/ip') as address
from raw_events
where
    reason is null
    and event_time >= $start
    and event_time < $end
    and address is not null
