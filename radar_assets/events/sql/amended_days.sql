-- Days that were built before, but not now, and whose sessions change: a visit crosses midnight, or a visitor is no
-- longer new. The days from $first_day to before $next_day are built now, and the window [$start, $end) holds them.
with

now_there as (
    select
        md5(to_json(rebuilt_sessions)) as digest,
        date as day
    from rebuilt_sessions
    where started_at < $end + interval 2 days
),

there_before as (
    select
        md5(to_json(sessions)) as digest,
        date as day
    from sessions
    where
        (date < $first_day or date >= $next_day)
        and started_at >= $start - interval 1 day
        and started_at < $end + interval 2 days
        and hash(project_id, coalesce(sender_session_id, visitor_id), sender_session_id is null) in (
            select thread_hash from active_threads
        )
),

differing as (
    select coalesce(now_there.day, there_before.day) as day
    from now_there
    full join there_before on now_there.digest = there_before.digest and now_there.day = there_before.day
    where now_there.digest is null or there_before.digest is null
    union
    -- Of later sessions, only those that change were computed.
    select date as day
    from rebuilt_sessions
    where started_at >= $end + interval 2 days
)

select distinct differing.day
from differing
inner join built_days on differing.day = built_days.day
order by differing.day
