-- Other hours with rows that have an id in common with a changed row and were received after it. Whether these rows
-- count may change, so their hours have changed too.
select distinct event_keys.event_hour as hour
from event_keys
inner join changed_keys on event_keys.key = changed_keys.key
where
    event_keys.event_hour <> changed_keys.event_hour
    and event_keys.arrival_hour >= changed_keys.arrival_hour
    and (
        event_keys.received_hour between changed_keys.received_hour - to_days($dedupe_days)
        and changed_keys.received_hour + to_days($dedupe_days)
        or event_keys.event_hour between changed_keys.event_hour - interval 1 hour
        and changed_keys.event_hour + interval 1 hour
    )
