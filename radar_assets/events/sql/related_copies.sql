-- Keys of the events of `orders`, which are rows found by their order id, where rows outside of the windows have them.
-- These rows decide whether the orders are copies.
select distinct
    others.key,
    others.received_hour,
    others.event_hour,
    own.event_key
from event_keys as others
inner join orders as own on others.key = own.event_key
where
    others.event_hour not in (select event_hour from wanted)
    and $is_in_reach
