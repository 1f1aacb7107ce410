-- The ids by which accepted lines are found again, as hashes: that of the event, and those of an order in its
-- properties. Collisions only find more lines.
select
    $event_key as key,
    received_hour,
    date_trunc('hour', received_at) as arrival_hour,
    date_trunc('hour', event_time) as event_hour,
    cast(null as bigint) as event_key
from raw_events
where reason is null
union all
-- A search for parts of the names rules out most lines, which need not be parsed.
select
    unnest($order_keys) as key,
    received_hour,
    date_trunc('hour', received_at) as arrival_hour,
    date_trunc('hour', event_time) as event_hour,
    $event_key as event_key
from raw_events
where reason is null and $may_have_order
