-- Every landed line with the contract's verdict. `contract_sql.py` fills in what the contract declares: limits,
-- defaults, and the faults of single fields. A test compares the verdicts. The lines are a stream, which can be read
-- once. DuckDB's JSON parser accepts more than the contract does, so a quick check of each line finds the few that need
-- a thorough one.
with

screened as (
    select
        received_hour,
        segment,
        line_number,
        problem,
        line,
        text,
        coalesce(strlen(text), octet_length(line)) as size_bytes,
        -- Plain lines have few brackets, each followed by other tokens, no comma before a closing bracket, no
        -- literals but true, false and null, no numbers with more than 15 digits before the point or 2 in the exponent,
        -- and no escaped U+0000.
        coalesce(
            regexp_full_match(
                text,
                replace(
                    replace(
                        '(?:,?~[{\[](?:~#)?(?:[ \t\r}\]:]|,?~"(?:[^"\\]|\\[^u]|\\u(?:[^0]|0[^0]|00[^0]|000[^0]))*"'
                        || '|[:,]~#)*){1,' || $max_depth || '}',
                        '#', '(?:-?[0-9]{1,15}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?|true|false|null)'
                    ),
                    '~', '[ \t\r]*'
                )
            ),
            false
        ) as is_plain
    from lines
),

skeletons as (
    -- The other lines without the content of their strings, so that all remaining brackets, commas and literals are
    -- syntax.
    select
        *,
        case
            when is_plain or size_bytes > $max_line_bytes then null
            else regexp_replace(text, '"(?:[^"\\]|\\.)*"', '""', 'g')
        end as skeleton
    from screened
),

documents as (
    select
        *,
        case
            when problem is not null then problem
            when size_bytes > $max_line_bytes then 'line_too_long: line: ' || size_bytes || ' bytes'
            when text is null then 'not_utf8: line'
            when
                not regexp_full_match(
                    regexp_replace(skeleton, '[^\[\]{}]+', '', 'g'),
                    '(?:[\]}]|' || repeat('[\[{](?:', $max_depth) || repeat(')*(?:[\]}]|\z)', $max_depth) || ')*'
                )
                then 'too_deep: line: over ' || $max_depth || ' brackets are open'
            when not json_valid(text) then 'not_json: line'
            when regexp_matches(skeleton, ',[ \t\r]*[\]}]|[nN][aA][nN]|[iI][nN][fF]') then 'not_json: line'
            when not regexp_matches(text, '^[ \t\r]*\{') then 'not_an_object: line'
            when
                len(
                    list_filter(
                        regexp_extract_all(skeleton, '-?[0-9][-+.0-9eE]*'),
                        lambda number: coalesce(isinf(try_cast(number as double)), true)
                    )
                ) > 0
                then 'number_out_of_range: line'
        end as document_fault
    from skeletons
),

parsed as (
    -- Values as JSON: the first character shows the type.
    select
        *,
        case
            when document_fault is null
                then json_transform(
                    text,
                    '{
                        "event_id": "JSON", "project_id": "JSON", "type": "JSON", "event": "JSON", "category": "JSON",
                        "user_id": "JSON", "anonymous_id": "JSON", "session_id": "JSON", "timestamp": "JSON",
                        "sent_at": "JSON", "received_at": "JSON", "protocol": "JSON", "properties": "JSON",
                        "context": "JSON"
                    }'
                )
        end as sent,
        case when document_fault is null then json_keys(text, ['$', '$.properties', '$.context']) end as keys
    from documents
),

fields as (
    select
        * exclude (skeleton, sent),
        $type_fault as type_fault,
        starts_with(sent.project_id, '"') as has_project,
        sent.event_id ->> '$' as event_id,
        sent.project_id ->> '$' as project_id,
        sent.type ->> '$' as type,
        sent.event ->> '$' as event,
        sent.category ->> '$' as category,
        sent.user_id ->> '$' as user_id,
        sent.anonymous_id ->> '$' as anonymous_id,
        sent.session_id ->> '$' as session_id,
        sent.timestamp ->> '$' as timestamp,
        sent.sent_at ->> '$' as sent_at,
        sent.received_at ->> '$' as received_at,
        sent.protocol ->> '$' as protocol,
        sent.properties,
        sent.context
    from parsed
),

typed as (
    select
        * exclude (type, event, timestamp, sent_at, received_at),
        coalesce(type, $default_type) as type,
        coalesce(event, $default_event) as event,
        -- Through microseconds, since a plain cast would use the session's time zone.
        case
            when regexp_full_match(timestamp, $rfc3339)
                then make_timestamp(epoch_us(try_cast(upper(timestamp) as timestamptz)))
        end as timestamp,
        case
            when regexp_full_match(sent_at, $rfc3339)
                then make_timestamp(epoch_us(try_cast(upper(sent_at) as timestamptz)))
        end as sent_at,
        case
            when regexp_full_match(received_at, $rfc3339)
                then make_timestamp(epoch_us(try_cast(upper(received_at) as timestamptz)))
        end as received_at,
        timestamp as timestamp_text,
        sent_at as sent_at_text,
        received_at as received_at_text
    from fields
),

measured as (
    select
        *,
        $field_fault as field_fault,
        case
            when received_at - sent_at not between -$clock_tolerance and $clock_tolerance
                then timestamp + (received_at - sent_at)
            else timestamp
        end as event_time,
        -- Whether the event, its properties and its context have duplicate keys. One bit per key rules this out for
        -- most; the shift gives the contract's own field names different bits.
        list_transform(
            keys,
            lambda names: case
                when
                    len(names) > bit_count(
                        list_bit_or(list_transform(names, lambda name: 1::ubigint << ((hash(name) >> 2) & 63)))
                    )
                    then len(names) > list_unique(names)
                else false
            end
        ) as have_duplicates,
        -- Size of a long line's payload, as sent: a walk over the tokens of the event that tracks open brackets, the
        -- position in the member, and the bytes so far.
        case
            when size_bytes > $max_payload_bytes and document_fault is null
                then struct_extract(
                    list_reduce(
                        list_value(
                            {
                                'open': 0,
                                'member': 1,
                                'size': 0
                            }
                        )
                        || list_transform(
                            regexp_extract_all(text, '(?:"(?:[^"\\]|\\.)*"|[^"\[\]{},])+|[\[\]{},]'),
                            lambda token: {
                                'open': case
                                    when token in ('[', '{') then 1
                                    when token in (']', '}') then -1
                                    else 0
                                end,
                                'member': case when token = ',' then 1 else 0 end,
                                'size': strlen(token)
                            }
                        ),
                        (walked, token) -> {
                            'open': walked.open + token.open,
                            'member': walked.member + case when walked.open = 1 then token.member else 0 end,
                            'size': walked.size + case
                                when
                                    greatest(walked.open, walked.open + token.open) > 1
                                    and keys[1][walked.member] in ('properties', 'context')
                                    then token.size
                                else 0
                            end
                        }
                    ),
                    'size'
                )
        end as payload_bytes
    from typed
),

judged as (
    select
        *,
        -- Reason, invalid field and details, separated by colons.
        case
            when document_fault is not null then document_fault
            when list_contains(have_duplicates, true)
                then 'duplicate_key: ' || ['line', 'properties', 'context'][list_position(have_duplicates, true)]
            when type_fault is not null then type_fault
            when field_fault is not null then field_fault
            when user_id is null and anonymous_id is null then 'no_visitor: user_id: not given, nor is anonymous_id'
            when payload_bytes > $max_payload_bytes
                then 'payload_too_large: properties: ' || payload_bytes || ' bytes with context'
            when project_id not in (select projects.project_id from projects)
                then 'unknown_project: project_id: ' || project_id
            when event_time > received_at + $future_tolerance
                then 'future: timestamp: ' || event_time || ', received at ' || received_at
            when event_time < $start_date then 'before_start: timestamp: ' || event_time
        end as fault
    from measured
),

decided as (
    select
        received_hour,
        segment,
        line_number,
        split_part(fault, ': ', 1) as reason,
        substring(fault, strpos(fault, ': ') + 2) as detail,
        case when fault is not null then coalesce(line, encode(text)) end as line,
        -- Rejected lines keep their project if it is a valid text.
        case
            when fault is null then project_id
            when has_project and length(project_id) between 1 and $max_text and not contains(project_id, chr(0))
                then project_id
        end as project_id,
        case
            when fault is null
                then {
                    'event_id': event_id,
                    'type': type,
                    'event': event,
                    'category': category,
                    'user_id': user_id,
                    'anonymous_id': anonymous_id,
                    'session_id': session_id,
                    'event_time': event_time,
                    'timestamp': timestamp,
                    'sent_at': sent_at,
                    'received_at': received_at,
                    'properties': properties::varchar,
                    'context': context::varchar,
                    'protocol': protocol,
                    'sequence': cast(null as integer),
                    'warnings': cast(null as varchar)
                }
        end as accepted
    from judged
)

select
    -- origin
    received_hour,
    segment,
    line_number,

    -- verdict
    reason,
    detail,
    line,

    -- event
    accepted.event_id,
    project_id,
    accepted.type,
    accepted.event,
    accepted.category,
    accepted.user_id,
    accepted.anonymous_id,
    accepted.session_id,
    accepted.event_time,
    accepted.timestamp,
    accepted.sent_at,
    accepted.received_at,
    accepted.properties,
    accepted.context,
    accepted.protocol,

    -- as sent
    accepted.sequence,
    accepted.warnings
from decided
