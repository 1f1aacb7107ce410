-- The fields of requests in a web server's access log, in the common or combined format. Successful GETs of pages are
-- page views; all other requests are events named `request`, which are passive.
with matched as (
    select
        record_number,
        text,
        regexp_extract(
            text,
            '^(\S+) \S+ (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" ([0-9]{3}) ([0-9]+|-)'
            || '(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?\s*$',
            ['address', 'account', 'moment', 'request', 'status', 'size', 'referrer', 'agent']
        ) as entry
    from lines
),

requests as (
    select
        record_number,
        text,
        entry,
        strftime(try_strptime(entry.moment, '%d/%b/%Y:%H:%M:%S %z'), '%Y-%m-%dT%H:%M:%SZ') as moment,
        regexp_extract(entry.request, '^([A-Z]+) (.+?)(?: HTTP/[0-9.]+)?$', ['method', 'target']) as request,
        nullif(nullif(replace(entry.referrer, '\"', '"'), '-'), '') as referrer,
        nullif(nullif(replace(entry.agent, '\"', '"'), '-'), '') as user_agent
    from matched
),

-- A target without a host, with one (as proxies get it), or none of both, such as `*`.
targets as (
    select
        *,
        nullif(
            regexp_extract(request.target, '^(?:[a-z]+://[^/?#]*)?(/[^?#]*)', 1), ''
        ) as path,
        try_cast(entry.status as integer) as status
    from requests
),

viewed as (
    select
        *,
        coalesce(
            request.method = 'GET'
            and (status between 200 and 203 or status in (206, 304))
            and if($pages = '', not regexp_matches(path, $no_pages), regexp_matches(path, $pages)),
            false
        ) as is_page_view
    from targets
)

select
    record_number,
    moment is not null as is_event,
    case when moment is not null then substr(sha256(text || record_number), 1, 32) end as event_id,
    null::varchar as project_id,
    if(is_page_view, 'page', 'track') as type,
    if(is_page_view, 'page_view', 'request') as event,
    null::varchar as category,
    nullif(entry.account, '-') as user_id,
    substr(sha256(concat(entry.address, ' ', user_agent)), 1, 32) as anonymous_id,
    null::varchar as session_id,
    moment as timestamp,
    null::varchar as sent_at,
    moment as received_at,
    null::varchar as protocol,
    null::varchar as properties,
    null::varchar as context,
    null::varchar as other_members,
    json_object(
        'url', if(prefix(request.target, '/'), $site, '') || nullif(request.target, ''),
        'path', path,
        'status', status,
        'bytes', try_cast(entry.size as bigint),
        'method', nullif(request.method, ''),
        'referrer', referrer
    )::varchar as property_members,
    -- Addresses are truncated, since their last part identifies a household. Host names are dropped.
    json_object(
        'userAgent', user_agent,
        'interactive', if(is_page_view, null, false),
        'ip', coalesce(
            nullif(regexp_extract(entry.address, '^([0-9]+\.[0-9]+\.[0-9]+)\.[0-9]+$', 1), '') || '.0',
            nullif(regexp_extract(entry.address, '^([0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F]*):', 1), '') || '::'
        )
    )::varchar as context_members
from viewed
where moment is null or is_page_view or $keeps_others
