-- Alerts that fired, and those of them that are still firing, in total and by rule.
with

fired as (
    select
        date_trunc('hour', fired_at) as starts_at,
        rule,
        state
    from alerts
),

counted as (
    select
        starts_at,
        case when grouping(rule) = 0 then 'rule' end as dimension,
        rule as label,
        count(*) as alerts,
        count(*) filter (where state = 'firing') as firing
    from fired
    group by grouping sets ((starts_at), (starts_at, rule))
)

select
    starts_at,
    dimension,
    label,
    measure,
    value
from counted
unpivot (value for measure in (alerts, firing))
