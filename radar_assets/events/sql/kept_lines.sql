-- Lines of segments that the landing zone no longer has.
select *
from raw_events
where (received_hour, segment) in (select (received_hour, segment) from gone)
