-- Segments in the table.
select distinct
    received_hour,
    segment
from raw_events
