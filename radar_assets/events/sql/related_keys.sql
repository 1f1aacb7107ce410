-- Keys of the windows' rows that rows of other hours have too: received at about the same time, or an hour away.
select distinct
    others.key,
    others.received_hour,
    others.event_hour
from event_keys as others
inner join event_keys as own on others.key = own.key
where
    own.event_hour in (select event_hour from wanted)
    and others.event_hour not in (select event_hour from wanted)
    and (
        others.received_hour between own.received_hour - to_days($dedupe_days)
        and own.received_hour + to_days($dedupe_days)
        or others.event_hour between own.event_hour - interval 1 hour and own.event_hour + interval 1 hour
    )
