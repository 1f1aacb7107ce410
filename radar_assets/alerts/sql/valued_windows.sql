-- The windows to judge in which a metric has a value, also one that can't be judged, for the projects of each rule that
-- have an open alert.
select
    firing.rule,
    firing.project_id,
    list(measurements.window_start) as window_starts
from firing
inner join rules on firing.rule = rules.rule
inner join lenses on rules.lens = lenses.lens
inner join plans on lenses.plan = plans.plan
inner join measurements
    on
        lenses.metric = measurements.metric
        and firing.project_id = measurements.project_id
        and plans.window_start = measurements.window_start
where
    plans.is_judged
    and measurements.value is not null
group by firing.rule, firing.project_id
