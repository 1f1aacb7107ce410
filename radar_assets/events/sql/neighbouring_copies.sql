-- Other hours that hold a copy of a changed row. Which of the copies counts may change, so these hours have changed
-- too.
with

changed as (
    select
        project_id,
        event_id,
        date_trunc('hour', event_time) as hour
    from changed_rows
    where reason is null
),

present as (
    select
        project_id,
        event_id,
        date_trunc('hour', event_time) as hour
    from raw_events
    where reason is null
)

select distinct present.hour
from present
inner join changed
    on present.project_id = changed.project_id and present.event_id = changed.event_id
where present.hour in (changed.hour - interval 1 hour, changed.hour + interval 1 hour)
