-- Lines that are canonical events already stay unchanged (`line` is null), unless they lack fields that doors fill in.
with parsed as (
    select
        record_number,
        text,
        -- Lines that are not JSON give null; the contract rejects them.
        try(json_extract_string(text, ['/event_id', '/project_id', '/protocol', '/received_at'])) as sent
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
    if(is_event, sent[2], null) as project_id,
    if(is_event, make_timestamp(epoch_us(try_cast(coalesce(sent[4], $now) as timestamptz))), null) as received_at,
    case
        when is_event and (sent[1] is null or sent[3] is null or sent[4] is null)
            then
                json_merge_patch(
                    text,
                    json_merge_patch(
                        '{}',
                        json_object(
                            'event_id', if(sent[1] is null, substr(sha256(text || record_number), 1, 32), null),
                            'protocol', if(sent[3] is null, 'import', null),
                            'received_at', if(sent[4] is null, $now, null)
                        )
                    ),
                    -- Lines received by this import get no `sent_at`: the delay says nothing about the sender's clock.
                    if(sent[4] is null, '{"sent_at": null}', '{}')
                )
                || chr(10)
    end as line
from events
