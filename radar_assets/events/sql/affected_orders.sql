-- Order keys of the copies of changed rows. Whether these rows are copies may change, and with it which rows of their
-- orders count.
select distinct
    others.key,
    others.received_hour,
    others.arrival_hour,
    others.event_hour
from event_keys as others
inner join changed_keys as own on others.event_key = own.key
where
    others.arrival_hour >= own.arrival_hour
    and $is_in_reach
