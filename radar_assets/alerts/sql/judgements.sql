-- For each lens (a metric and how its values are compared) and project: the values to compare with thresholds, in the
-- windows that can be judged.
with

looked_at as (
    select
        lenses.lens,
        plans.is_judged,
        measurements.project_id,
        measurements.window_start,
        measurements.value,
        measurements.is_first,
        case lenses.against
            when 'previous' then measurements.previous_value
            when 'same_weekday' then measurements.same_weekday_value
        end as baseline,
        if(lenses.against = 'same_weekday', measurements.typical_value, null) as typical_value,
        measurements.lowest_usual,
        measurements.highest_usual,
        lenses.against is not null as is_change,
        lenses.is_fall,
        lenses.minimum,
        lenses.for_windows - 1 as windows_before,
        epoch_us(measurements.window_start) // $step_us as window_number
    from lenses
    inner join plans on lenses.plan = plans.plan
    inner join measurements
        on
            lenses.metric = measurements.metric
            and plans.window_start = measurements.window_start
),

compared as (
    select
        *,
        is_change and baseline > 0 and baseline >= minimum as is_comparable,
        -- From nothing to more than the minimum, which is infinite in percent.
        is_change and not is_fall and baseline = 0 and value > minimum as is_rise_from_zero
    from looked_at
),

known as (
    select
        *,
        case
            when not is_change then value
            when is_comparable then 100 * (value - baseline) / baseline
            when is_rise_from_zero then cast('infinity' as double)
        end as held_value,
        case
            when (is_comparable or is_rise_from_zero) and typical_value > 0
                then 100 * (value - typical_value) / typical_value
        end as typical_change,
        -- Even if the baseline is too small to compare with, it can be certain that nothing has fallen, or risen.
        value is not null
        and (
            not is_change
            or is_comparable
            or is_rise_from_zero
            or (is_fall and baseline is not null and value >= minimum and value > baseline)
            or (not is_fall and baseline is not null and (value <= minimum or value <= baseline))
        ) as is_known
    from compared
)

select
    lens,
    project_id,
    window_start,
    window_number,
    is_judged,
    windows_before,
    value,
    is_first,
    if(is_change, baseline, null) as baseline,
    lowest_usual,
    highest_usual,
    held_value,
    typical_change,
    count(*) over (
        partition by lens, project_id
        order by window_number range between windows_before preceding and 1 preceding
    ) as known_before
from known
where is_known
