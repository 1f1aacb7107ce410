-- Segments that the table holds.
select distinct
    received_hour,
    segment
from raw_events
