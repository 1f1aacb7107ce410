-- Accepted rows that have one of the keys. Of rows with the same ids and hours, the first one stands for all, so that
-- an event id that a sender uses for everything doesn't fetch everything.
select raw_events.*
from raw_events
where
    reason is null
    and (
        $event_key in (select key from related_keys)
        or ($may_have_order and list_has_any($order_keys, (select list(distinct key) from related_keys)))
    )
qualify
    row_number() over (
        partition by
            project_id, event_id, if($may_have_order, $order_keys, null), received_hour, date_trunc('hour', event_time)
        order by received_at, event_time, sequence, $content, received_hour, segment, line_number
    ) = 1
