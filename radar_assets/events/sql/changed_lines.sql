-- Lines in some windows that were loaded, dropped or judged differently between two states of raw_events.
select
    case
        when lines_before.segment is null then 'added'
        when lines_after.segment is null then 'removed'
        else 'changed'
    end as change,
    -- the line
    coalesce(lines_after.received_hour, lines_before.received_hour) as received_hour,
    coalesce(lines_after.segment, lines_before.segment) as segment,
    coalesce(lines_after.line_number, lines_before.line_number) as line_number,
    -- the event in it
    coalesce(lines_after.event_id, lines_before.event_id) as event_id,
    coalesce(lines_after.project_id, lines_before.project_id) as project_id,
    coalesce(lines_after.event, lines_before.event) as event,
    coalesce(lines_after.event_time, lines_before.event_time) as event_time,
    case when lines_after.segment is null then lines_before.reason else lines_after.reason end as reason
from lines_before
full join lines_after
    on
        lines_before.received_hour = lines_after.received_hour
        and lines_before.segment = lines_after.segment
        and lines_before.line_number = lines_after.line_number
where
    (
        lines_before.segment is null
        or lines_after.segment is null
        or lines_before.reason is distinct from lines_after.reason
        or lines_before.event_time is distinct from lines_after.event_time
    )
    and exists (
        select 1
        from wanted
        where
            wanted.project_id is not distinct from
            coalesce(lines_after.project_id, lines_before.project_id, wanted.project_id)
            and wanted.starts_at <= coalesce(lines_after.$time_column, lines_before.$time_column)
            and wanted.ends_at > coalesce(lines_after.$time_column, lines_before.$time_column)
    )
order by event_time, received_hour, segment, line_number
