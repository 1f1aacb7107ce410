-- The windows that broke a rule, those of `for` before them taken into account.
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
        -- A project's first window began before the project did: it may hold too much, but not too little.
        and (not judgements.is_first or rules.operator in ('gt', 'gte'))
        and case rules.operator
            when 'gt' then judgements.held_value > coalesce(overrides.threshold, rules.threshold)
            when 'gte' then judgements.held_value >= coalesce(overrides.threshold, rules.threshold)
            when 'lt' then judgements.held_value < coalesce(overrides.threshold, rules.threshold)
            when 'lte' then judgements.held_value <= coalesce(overrides.threshold, rules.threshold)
            when 'eq' then judgements.held_value = coalesce(overrides.threshold, rules.threshold)
            -- A window a week ago that was out of line itself is no measure: the change from what is typical has to be
            -- as large.
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

-- Where one of the windows before is not known, and none is known to be sound, nobody can tell.
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
