-- The values of judged windows, for the projects of each rule that have a firing alert.
select
    firing.rule,
    firing.project_id,
    judgements.window_start,
    judgements.value,
    judgements.baseline
from firing
inner join rules on firing.rule = rules.rule
inner join judgements
    on
        rules.lens = judgements.lens
        and firing.project_id = judgements.project_id
where
    judgements.is_judged
    and judgements.value is not null
order by firing.rule, firing.project_id, judgements.window_start
