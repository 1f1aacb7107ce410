-- For each rule and window, the value that is closest to breaking the rule, or furthest beyond: a change in percent for
-- rules about changes.
select
    rules.rule,
    judgements.window_start,
    case rules.is_rise
        when true then max(judgements.held_value)
        else min(judgements.held_value)
    end as value
from rules
inner join judgements on rules.lens = judgements.lens
left join members
    on
        rules.rule = members.rule
        and judgements.project_id = members.project_id
left join overrides
    on
        rules.rule = overrides.rule
        and judgements.project_id = overrides.project_id
where
    judgements.held_value is not null
    and coalesce(overrides.is_enabled, true)
    and (rules.is_for_all or members.rule is not null)
group by rules.rule, rules.is_rise, judgements.window_start
order by rules.rule, judgements.window_start
