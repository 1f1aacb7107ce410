-- Hours with rows that have an id in common with a changed row and were received after it. Whether these rows count may
-- change, so their hours have changed too.
select
    others.event_hour,
    bool_or(others.event_key is null) as has_copies
from event_keys as others
inner join changed_keys as own on others.key = own.key
where
    others.arrival_hour >= own.arrival_hour
    and $is_in_reach
group by others.event_hour
