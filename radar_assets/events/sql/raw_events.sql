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
                        "context": "JSON", "sequence": "JSON"
                    }'
                )
        end as sent,
        case when document_fault is null then json_keys(text, ['$', '$.properties', '$.context']) end as keys
    from documents
),

fields as (
    select
        * exclude (skeleton),
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
        sent.context,
        case
            when sent.sequence is not null and regexp_full_match(sent.sequence, '[0-9]{1,9}')
                then try_cast(sent.sequence::varchar as integer)
        end as sequence
    from parsed
),

typed as (
    select
        * replace (
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
            end as received_at
        )
    from fields
),

-- Few lines have a value that is not as it should be. These are looked at again, field by field: how each value reads,
-- what is wrong with it, and what is left of it.
inspected as (
    select
        *,
        $is_odd as is_odd
    from typed
),

read_again as (
    select
        *,
        case when is_odd then $readings end as readings
    from inspected
),

doubted as (
    select
        *,
        case when is_odd then $oddities end as oddities
    from read_again
),

repaired as (
    select * replace ($repaired)
    from doubted
),

completed as (
    select
        * replace (
            coalesce(type, $default_type) as type,
            coalesce(event, $default_event) as event,
            coalesce(event_id, md5(text)) as event_id,
            coalesce(timestamp, received_at) as timestamp
        ),
        event_id is null as is_hashed,
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
        ) as have_duplicates
    from repaired
),

-- Members of payloads that have duplicate keys or may be too large, the last one of each key. Every number counts as
-- one byte, since engines write numbers differently.
listed as (
    select
        *,
        case
            when size_bytes > $max_payload_bytes or have_duplicates[2] or have_duplicates[3]
                then list_transform(
                    [properties, context],
                    lambda payload: case
                        when payload is not null
                            then list_transform(
                                list_zip(json_keys(payload), json_extract(payload, '$.*')),
                                (member, place) -> {
                                    'name': to_json(member[1])::varchar,
                                    'place': place,
                                    'value': member[2]::varchar,
                                    'bytes': list_transform(
                                        [regexp_replace(member[2]::varchar, '"(?:[^"\\]|\\.)*"', '""', 'g')],
                                        lambda bare: strlen(member[2]::varchar)
                                        - strlen(bare)
                                        + strlen(regexp_replace(bare, '-?[0-9][-+.0-9eE]*', '0', 'g'))
                                    )[1]
                                }
                            )
                    end
                )
        end as listed_members
    from completed
),

distinct_members as (
    select
        * exclude (listed_members),
        case
            when listed_members is not null
                then list_transform(
                    listed_members,
                    lambda payload: list_transform(
                        [list_sort(payload)],
                        lambda members: list_filter(
                            members, (member, i) -> members[i + 1].name is distinct from member.name
                        )
                    )[1]
                )
        end as members
    from listed
),

sized as (
    select
        *,
        case when members is not null then list_transform(members, lambda payload: $size) end as sizes
    from distinct_members
),

cut as (
    select
        * replace (
            case
                when list_sum(sizes) > $max_payload_bytes
                    then list_transform(
                        members,
                        lambda payload: list_transform(
                            list_filter(
                                payload,
                                lambda member: member.bytes <= $max_member_bytes or starts_with(member.value, '"')
                            ),
                            lambda member: case
                                when member.bytes <= $max_member_bytes then member
                                else list_transform(
                                    [to_json(left(json_extract_string(member.value, '$'), $max_text))::varchar],
                                    lambda value: {
                                        'name': member.name,
                                        'place': member.place,
                                        'value': value,
                                        'bytes': strlen(value)
                                    }
                                )[1]
                            end
                        )
                    )
                else members
            end as members
        )
    from sized
),

resized as (
    select
        *,
        case when members is not null then list_transform(members, lambda payload: $size) end as cut_sizes
    from cut
),

written as (
    -- What is still too large is dropped, the properties first.
    select
        * replace (
            case
                when members is null then properties::varchar
                when list_sum(cut_sizes) <= $max_payload_bytes then $text_of_properties
            end as properties,
            case
                when members is null then context::varchar
                when cut_sizes[2] <= $max_payload_bytes then $text_of_context
            end as context
        )
    from resized
),

measured as (
    select
        *,
        coalesce(sizes[1] > case when properties is null then 0 else cut_sizes[1] end, false) as is_cut_properties,
        coalesce(sizes[2] > case when context is null then 0 else cut_sizes[2] end, false) as is_cut_context,
        -- The clock of the sender is off if its time of sending and the time of receipt differ, unless the event was
        -- sent before it happened, or has no time by that clock.
        coalesce(
            received_at - sent_at not between -$clock_tolerance and $clock_tolerance and timestamp <> received_at,
            false
        ) as is_clock_off,
        coalesce(is_clock_off and sent_at < timestamp - $clock_tolerance, false) as is_sent_before,
        case
            when is_clock_off and not is_sent_before then timestamp + (received_at - sent_at)
            else timestamp
        end as corrected_time,
        case
            when corrected_time between $oldest and received_at + $future_tolerance then corrected_time
            else received_at
        end as event_time
    from written
),

judged as (
    select
        *,
        -- Reason, invalid field and details, separated by colons.
        case
            when document_fault is not null then document_fault
            when have_duplicates[1] then 'duplicate_key: line'
            when $required_fault is not null then $required_fault
            when user_id is null and anonymous_id is null
                then
                    'no_visitor: user_id: ' || coalesce(oddities.user_id, 'not given')
                    || ', and anonymous_id is not usable either'
            when project_id not in (select projects.project_id from projects)
                then 'unknown_project: project_id: ' || project_id
            when event_time < $start_date then 'before_start: timestamp: ' || event_time
        end as fault
    from measured
),

decided as (
    select
        received_hour,
        segment,
        line_number,
        -- Rejected lines keep their project.
        project_id,
        split_part(fault, ': ', 1) as reason,
        substring(fault, strpos(fault, ': ') + 2) as detail,
        case when fault is not null then coalesce(line, encode(text)) end as line,
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
                    'properties': properties,
                    'context': context,
                    'protocol': protocol,
                    'sequence': sequence,
                    'warnings': nullif($warnings, '')
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
