-- The windows that broke a rule, considering the earlier windows that `for` requires.
with

broken as (
    select
        rules.rule,
        judgements.project_id,
        judgements.window_start,
        judgements.window_number,
        judgements.is_judged,
        judgements.windows_before,
        judgements.known_before,
        judgements.value,
        judgements.baseline,
        judgements.lowest_usual,
        judgements.highest_usual,
        coalesce(overrides.threshold, rules.threshold) as threshold
    from rules
    inner join judgements on rules.lens = judgements.lens
    left join overrides
        on
            rules.rule = overrides.rule
            and judgements.project_id = overrides.project_id
    left join members
        on
            rules.rule = members.rule
            and judgements.project_id = members.project_id
    where
        coalesce(overrides.is_enabled, true)
        and (rules.is_for_all or members.rule is not null)
        -- A project's first window is incomplete: a value that is too high counts, one that is too low does not.
        and (not judgements.is_first or rules.operator in ('gt', 'gte'))
        and case rules.operator
            when 'gt' then judgements.held_value > coalesce(overrides.threshold, rules.threshold)
            when 'gte' then judgements.held_value >= coalesce(overrides.threshold, rules.threshold)
            when 'lt' then judgements.held_value < coalesce(overrides.threshold, rules.threshold)
            when 'lte' then judgements.held_value <= coalesce(overrides.threshold, rules.threshold)
            when 'eq' then judgements.held_value = coalesce(overrides.threshold, rules.threshold)
            -- The window a week ago may be an outlier itself, so the change from the typical value has to be as large.
            when 'rise'
                then
                    least(judgements.held_value, coalesce(judgements.typical_change, judgements.held_value))
                    >= coalesce(overrides.threshold, rules.threshold)
            when 'fall'
                then
                    greatest(judgements.held_value, coalesce(judgements.typical_change, judgements.held_value))
                    <= coalesce(overrides.threshold, rules.threshold)
        end
),

counted as (
    select
        *,
        count(*) over (
            partition by rule, project_id
            order by window_number range between windows_before preceding and 1 preceding
        ) as broken_before
    from broken
)

-- If an earlier window is unknown, and none is known to keep the rule, the verdict is unknown.
select
    rule,
    project_id,
    window_start,
    value,
    threshold,
    baseline,
    lowest_usual,
    highest_usual,
    broken_before = windows_before as is_breach
from counted
where
    is_judged
    and broken_before = known_before
order by rule, project_id, window_start
