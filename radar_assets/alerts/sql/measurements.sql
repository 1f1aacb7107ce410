-- The value of each metric for each project, in the windows that rules judge and those that they are compared with.
with

sightings as materialized (
    select
        project_id,
        metric,
        window_start as seen_at
    from measured
    union all
    -- An hour or a day says only that the first value came before its end.
    select
        project_id,
        metric,
        window_end - interval 1 microsecond as seen_at
    from earlier
),

first_sightings as (
    select
        sightings.project_id,
        measures.metric,
        measures.empty_value,
        coalesce(project_zones.zone, 'UTC') as zone,
        min(sightings.seen_at) as first_seen_at
    from sightings
    inner join measures on sightings.metric = measures.metric
    left join project_zones on sightings.project_id = project_zones.project_id
    group by sightings.project_id, measures.metric, measures.empty_value, project_zones.zone
),

asked_windows as materialized (
    select distinct window_start
    from plans
),

needed_windows as (
    select unnest([window_start, week_1, week_2, week_3, week_4]) as window_start
    from weeks_before
    union
    select window_start - to_microseconds($step_us) as window_start
    from asked_windows
),

-- Projects with an event in a window. There, a metric without a row has no value; elsewhere it has that of no events.
present as (
    select
        project_id,
        window_start
    from measured
    where metric = 'events'
),

-- Read seven times below.
filled as materialized (
    select
        first_sightings.project_id,
        first_sightings.metric,
        needed_windows.window_start,
        case
            when unsettled.window_start is not null then null
            when measured.value is not null then measured.value
            when present.project_id is null and needed_windows.window_start >= first_sightings.first_seen_at
                then first_sightings.empty_value
        end as value
    from first_sightings
    cross join needed_windows
    left join measured
        on
            first_sightings.project_id = measured.project_id
            and first_sightings.metric = measured.metric
            and needed_windows.window_start = measured.window_start
    left join present
        on
            first_sightings.project_id = present.project_id
            and needed_windows.window_start = present.window_start
    left join unsettled
        on
            first_sightings.zone = unsettled.zone
            and needed_windows.window_start = unsettled.window_start
),

-- Days of projects, as the first and the last time that they were seen. The next step needs no more.
days_seen as (
    select
        project_id,
        metric,
        min(seen_at) as first_seen_at,
        max(seen_at) as last_seen_at
    from sightings
    group by project_id, metric, cast(seen_at as date)
),

-- Days and windows of each project on one timeline, so that a window sees the days that began before it.
timeline as (
    select
        project_id,
        metric,
        first_seen_at as moment,
        last_seen_at,
        cast(null as timestamp) as window_start,
        cast(null as double) as value
    from days_seen
    union all
    select
        filled.project_id,
        filled.metric,
        filled.window_start as moment,
        cast(null as timestamp) as last_seen_at,
        filled.window_start,
        filled.value
    from filled
    semi join asked_windows on filled.window_start = asked_windows.window_start
),

seen_before as (
    select
        project_id,
        metric,
        window_start,
        value,
        max(last_seen_at) over (
            partition by project_id, metric
            order by moment range between unbounded preceding and interval 1 microsecond preceding
        ) as last_seen_at
    from timeline
),

-- Projects that are new, or have sent nothing for long, have values only in windows with events. Those of earlier weeks
-- are at the same local time, so they depend on the time zone of the project.
alive as (
    select
        weeks_before.week_1,
        weeks_before.week_2,
        weeks_before.week_3,
        weeks_before.week_4,
        seen_before.project_id,
        seen_before.metric,
        seen_before.window_start,
        seen_before.value,
        coalesce(seen_before.last_seen_at < seen_before.window_start - to_days($memory_days), true) as is_first
    from seen_before
    left join measured
        on
            seen_before.project_id = measured.project_id
            and seen_before.metric = measured.metric
            and seen_before.window_start = measured.window_start
    left join project_zones on seen_before.project_id = project_zones.project_id
    inner join weeks_before
        on
            coalesce(project_zones.zone, 'UTC') = weeks_before.zone
            and seen_before.window_start = weeks_before.window_start
    where
        seen_before.last_seen_at >= seen_before.window_start - to_days($memory_days)
        or measured.value is not null
)

select
    alive.project_id,
    alive.metric,
    alive.window_start,
    alive.value,
    alive.is_first,
    before.value as previous_value,
    week_1.value as same_weekday_value,
    least(week_1.value, week_2.value, week_3.value, week_4.value) as lowest_usual,
    greatest(week_1.value, week_2.value, week_3.value, week_4.value) as highest_usual,
    -- The median of those four weeks, if at least three are known.
    case
        when
            if(week_1.value is null, 0, 1)
            + if(week_2.value is null, 0, 1)
            + if(week_3.value is null, 0, 1)
            + if(week_4.value is null, 0, 1)
            >= 3
            then list_median([week_1.value, week_2.value, week_3.value, week_4.value])
    end as typical_value
from alive
left join filled as before
    on
        alive.project_id = before.project_id
        and alive.metric = before.metric
        and alive.window_start - to_microseconds($step_us) = before.window_start
left join filled as week_1
    on
        alive.project_id = week_1.project_id
        and alive.metric = week_1.metric
        and alive.week_1 = week_1.window_start
left join filled as week_2
    on
        alive.project_id = week_2.project_id
        and alive.metric = week_2.metric
        and alive.week_2 = week_2.window_start
left join filled as week_3
    on
        alive.project_id = week_3.project_id
        and alive.metric = week_3.metric
        and alive.week_3 = week_3.window_start
left join filled as week_4
    on
        alive.project_id = week_4.project_id
        and alive.metric = week_4.metric
        and alive.week_4 = week_4.window_start
