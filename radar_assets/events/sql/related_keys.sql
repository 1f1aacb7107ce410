-- Keys of the windows' rows that rows of other hours have, too.
select distinct
    others.key,
    others.received_hour,
    others.event_hour,
    others.event_key
from event_keys as others
inner join event_keys as own on others.key = own.key
where
    own.event_hour in (select event_hour from wanted)
    and others.event_hour not in (select event_hour from wanted)
    and $is_in_reach
