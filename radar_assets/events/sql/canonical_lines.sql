-- Lines that are canonical events already stay unchanged (`line` is null), unless they lack fields that doors fill in.
with parsed as (
    select
        record_number,
        text,
        -- Lines that are not JSON give null; the contract rejects them.
        try(
            json_transform(
                text,
                '{"event_id": "VARCHAR", "project_id": "VARCHAR", "protocol": "VARCHAR", "received_at": "VARCHAR"}'
            )
        ) as sent
    from lines
),

events as (
    select
        *,
        sent is not null and prefix(ltrim(text), '{') as is_event
    from parsed
)

select
    record_number,
    coalesce(is_event, false) as is_event,
    if(is_event, sent.project_id, null) as project_id,
    case when is_event then make_timestamp(epoch_us(try_cast(coalesce(sent.received_at, $now) as timestamptz))) end
        as received_at,
    case
        when is_event and (sent.event_id is null or sent.protocol is null or sent.received_at is null)
            then
                json_merge_patch(
                    text,
                    json_merge_patch(
                        '{}',
                        json_object(
                            'event_id', if(sent.event_id is null, substr(sha256(text || record_number), 1, 32), null),
                            'protocol', if(sent.protocol is null, 'import', null),
                            'received_at', if(sent.received_at is null, $now, null)
                        )
                    ),
                    -- Lines received by this import get no `sent_at`: the delay says nothing about the sender's clock.
                    if(sent.received_at is null, '{"sent_at": null}', '{}')
                )
                || chr(10)
    end as line
from events
