with
received as not materialized (
    select * from raw_events
    where reason is null
),

-- Copies. Few ids occur more than once: a narrow scan finds candidates by hash (collisions only add candidates). Only
-- these are sorted, and all other rows are streamed.
candidates as (
    select hash(project_id, event_id) as id_hash
    from raw_events
    where reason is null
    group by id_hash
    having count(*) > 1
),

-- Order of arrival of the rows with one id. Rows received at the same time are ordered by content before segment, so
-- that the result doesn't depend on how lines were split into segments.
arrivals as (
    select
        raw_events.project_id,
        raw_events.event_id,
        raw_events.received_hour,
        raw_events.segment,
        raw_events.line_number,
        date_trunc('hour', raw_events.event_time) as event_hour,
        row_number() over (
            partition by raw_events.project_id, raw_events.event_id
            order by
                raw_events.received_at,
                raw_events.event_time,
                raw_events.type,
                raw_events.event,
                raw_events.anonymous_id,
                raw_events.user_id,
                raw_events.session_id,
                raw_events.sent_at,
                raw_events.category,
                raw_events.protocol,
                raw_events.properties,
                raw_events.context,
                raw_events.received_hour,
                raw_events.segment,
                raw_events.line_number
        ) as arrival
    from raw_events
    semi join candidates on hash(raw_events.project_id, raw_events.event_id) = candidates.id_hash
    where raw_events.reason is null
),

-- The first arrival from one hour before to one hour after; all later ones are copies.
neighbours as (
    select
        received_hour,
        segment,
        line_number,
        arrival,
        min(arrival) over (
            partition by project_id, event_id
            order by event_hour range between interval 1 hour preceding and interval 1 hour following
        ) as first_arrival
    from arrivals
),

copies as (
    select
        received_hour,
        segment,
        line_number
    from neighbours
    where arrival > first_arrival
),

-- Each JSON text is parsed once, into the fields that are read below.
accepted as (
    select
        raw_events.*,
        $event_name as event_name,
        json_transform(
            raw_events.properties,
            '{
                "url": "VARCHAR", "$current_url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR",
                "referrer": "VARCHAR", "$referrer": "VARCHAR",
                "$geoip_country_code": "VARCHAR", "$raw_user_agent": "VARCHAR"
            }'
        ) as property_fields,
        json_transform(
            raw_events.context,
            '{
                "page": {"url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR", "referrer": "VARCHAR"},
                "campaign": {
                    "source": "VARCHAR", "medium": "VARCHAR", "name": "VARCHAR", "term": "VARCHAR", "content": "VARCHAR"
                },
                "userAgent": "VARCHAR", "user_agent": "VARCHAR", "location": {"country": "VARCHAR"}, "country": "VARCHAR"
            }'
        ) as context_fields
    from raw_events
    anti join copies
        on
            raw_events.received_hour = copies.received_hour
            and raw_events.segment = copies.segment
            and raw_events.line_number = copies.line_number
    where
        raw_events.reason is null
        and raw_events.event_time >= $start
        and raw_events.event_time < $end
),

named as (
    select
        * exclude (property_fields, context_fields),
        coalesce(
            nullif(property_fields.url, ''),
            nullif(property_fields['$current_url'], ''),
            nullif(context_fields.page.url, '')
        ) as url,
        case
            when property_fields.path != '' then property_fields.path
            when coalesce(property_fields.url, '') = '' and coalesce(property_fields['$current_url'], '') = ''
                then nullif(context_fields.page.path, '')
        end as given_path,
        coalesce(nullif(property_fields.title, ''), nullif(context_fields.page.title, '')) as title,
        -- posthog-js sends `$direct` if there is no referrer.
        coalesce(
            nullif(property_fields.referrer, ''),
            nullif(nullif(property_fields['$referrer'], ''), '$direct'),
            nullif(context_fields.page.referrer, '')
        ) as referrer,
        nullif(context_fields.campaign.source, '') as campaign_source,
        nullif(context_fields.campaign.medium, '') as campaign_medium,
        nullif(context_fields.campaign.name, '') as campaign_name,
        nullif(context_fields.campaign.term, '') as campaign_term,
        nullif(context_fields.campaign.content, '') as campaign_content,
        coalesce(context_fields['userAgent'], context_fields.user_agent, property_fields['$raw_user_agent'])
            as user_agent,
        upper(
            coalesce(
                context_fields.location.country, context_fields.country, property_fields['$geoip_country_code']
            )
        ) as country_code
    from accepted
),

-- `single_events.py` has the same rules for the path, bots and groups.
-- From here to `sites`, URLs are split with string functions, since a regular expression with groups takes four times
-- as long. Each step is a query of its own: aliases used within their own select are copied into each use, and planning
-- took half a second.
cut as (
    select
        *,
        split_part(url, '#', 1) as resource,
        split_part(split_part(url, '#', 1), '?', 1) as location,
        split_part(split_part(split_part(referrer, '/', 3), '#', 1), '?', 1) as linking_authority
    from named
),

authorities as (
    select
        * exclude (linking_authority),
        case
            when
                split_part(location, '/', 2) = ''
                and (split_part(location, '/', 1) = '' or suffix(split_part(location, '/', 1), ':'))
                then split_part(location, '/', 3)
        end as authority,
        lower(split_part(linking_authority, '@', -1)) as linking_host,
        nullif('&' || substr(resource, length(location) + 2), '&') as query
    from cut
),

hosts as (
    select
        *,
        lower(split_part(authority, '@', -1)) as host_and_port,
        case
            when given_path is not null then split_part(split_part(given_path, '#', 1), '?', 1)
            when authority is null or (authority = '' and not contains(location, '//')) then location
            else substr(location, strpos(location, '//') + length(authority) + 2)
        end as bare_path,
        if(prefix(linking_host, 'www.'), substr(linking_host, 5), linking_host) as linking_domain,
        replace(split_part(split_part(query, '&utm_source=', 2), '&', 1), '+', ' ') as query_source,
        replace(split_part(split_part(query, '&utm_medium=', 2), '&', 1), '+', ' ') as query_medium,
        replace(split_part(split_part(query, '&utm_campaign=', 2), '&', 1), '+', ' ') as query_campaign,
        replace(split_part(split_part(query, '&utm_term=', 2), '&', 1), '+', ' ') as query_term,
        replace(split_part(split_part(query, '&utm_content=', 2), '&', 1), '+', ' ') as query_content,
        regexp_extract(
            query, '&(gclid|gbraid|wbraid|dclid|msclkid|yclid|fbclid|ttclid|twclid|li_fat_id)=[^&]', 1
        ) as click_id
    from authorities
),

-- Text with percent sequences that are not UTF-8 stays encoded.
sites as (
    select
        *,
        nullif(if(contains(host_and_port, ':'), regexp_replace(host_and_port, ':[0-9]*$', ''), host_and_port), '')
            as host,
        if(prefix(bare_path, '/'), bare_path, '/' || bare_path) as path,
        nullif(if(contains(linking_domain, ':'), regexp_replace(linking_domain, ':[0-9]*$', ''), linking_domain), '')
            as site,
        coalesce(nullif(coalesce(try(url_decode(query_source)), query_source), ''), campaign_source) as utm_source,
        coalesce(nullif(coalesce(try(url_decode(query_medium)), query_medium), ''), campaign_medium) as utm_medium,
        coalesce(nullif(coalesce(try(url_decode(query_campaign)), query_campaign), ''), campaign_name) as utm_campaign,
        coalesce(nullif(coalesce(try(url_decode(query_term)), query_term), ''), campaign_term) as utm_term,
        coalesce(nullif(coalesce(try(url_decode(query_content)), query_content), ''), campaign_content) as utm_content
    from hosts
),

-- Meaning of click ids: Facebook adds one to every outgoing link, the other networks only to ads.
campaigns as (
    select
        *,
        case when host is null or host not in (site, 'www.' || site) then site end as referrer_domain,
        case
            when lower(utm_medium) not in ('(none)', '(not set)') then lower(utm_medium)
            when click_id = 'dclid' then 'display'
            when click_id not in ('', 'fbclid') then 'cpc'
        end as medium,
        case
            when click_id in ('gclid', 'gbraid', 'wbraid', 'msclkid', 'yclid') then 'search'
            when click_id in ('fbclid', 'ttclid', 'twclid', 'li_fat_id') then 'social'
        end as click_category,
        lower(utm_campaign) as campaign
    from sites
),

origins as (
    select
        *,
        lower(coalesce(utm_source, referrer_domain)) as source,
        contains(medium, 'cp') or prefix(medium, 'paid') or medium in ('ppc', 'retargeting') as is_paid,
        contains(campaign, 'shop') and regexp_matches(campaign, '(^|[^a-df-z])shop|shopping') as is_shopping_campaign
    from campaigns
),

-- A source matches by its own name or by its parent domain: `m.facebook.com` is `facebook.com`.
sources as (
    select
        origins.*,
        coalesce(exact.category, parent.category, origins.click_category) as source_category
    from origins
    left join referrer_sources as exact on origins.source = exact.source
    left join referrer_sources as parent on substr(origins.source, strpos(origins.source, '.') + 1) = parent.source
),

-- Orders. Few events are about them: a narrow scan finds these by name, and only their properties are read. Properties
-- have the names of Segment, Google Analytics 4, Meta, Amplitude and Snowplow.
order_lines as (
    select
        *,
        $order_kind as kind
    from (
        select
            received_hour,
            segment,
            line_number,
            project_id,
            event_id,
            event_time,
            received_at,
            sequence,
            properties,
            $event_name as event_name
        from received
    ) as named_lines
    where kind is not null
),

-- The first property that is present. Amounts stay JSON, since only texts are written in the ways of several countries.
order_fields as (
    select
        order_lines.* exclude (event_name, properties),
        list_filter(
            json_extract_string(
                order_lines.properties,
                [
                    '$.order_id', '$.transaction_id', '$.orderId', '$.transactionId', '$.orderID', '$.transactionID',
                    '$.order_number', '$.orderNumber', '$.ecommerce.transaction_id'
                ]
            ),
            lambda each: trim(each) != ''
        )[1] as given_order_id,
        list_filter(
            json_extract_string(order_lines.properties, ['$.refund_id', '$.refundId']), lambda each: trim(each) != ''
        )[1] as refund_id,
        list_filter(
            list_slice(
                list_transform(
                    json_extract(
                        order_lines.properties,
                        [
                            '$.refund_amount', '$.revenue', '$."$revenue"', '$.value', '$.total', '$.ecommerce.value'
                        ]
                    ),
                    lambda each: cast(each as varchar)
                ),
                case when order_lines.kind = 'purchase' then 2 else 1 end,
                6
            ),
            lambda each: each not in ('null', '""')
        )[1] as given_amount
    from order_lines
    anti join copies
        on
            order_lines.received_hour = copies.received_hour
            and order_lines.segment = copies.segment
            and order_lines.line_number = copies.line_number
),

-- Amounts without plus signs, currency, and spaces at the ends.
order_texts as (
    select
        *,
        case
            when
                lower(trim(given_order_id)) not in ($placeholders)
                and not regexp_full_match(trim(given_order_id), '[{<%$\[].*[}>%\]]')
                then trim(given_order_id)
        end as order_id,
        case
            when starts_with(given_amount, '"')
                then
                    regexp_replace(
                        regexp_replace(
                            trim(
                                regexp_replace(
                                    translate(json_extract_string(given_amount, '$'), '−’+', '-'''),
                                    '[\s\x{a0}\x{2009}\x{202f}]+',
                                    ' ',
                                    'g'
                                )
                            ),
                            $leading_currency,
                            '\1'
                        ),
                        $trailing_currency,
                        ''
                    )
        end as text
    from order_fields
),

order_digits as (
    select
        *,
        case
            when regexp_full_match(text, '-?[0-9]{1,3}([ ''][0-9]{3})+([.,][0-9]+)?') then translate(text, ' ''', '')
            else text
        end as digits
    from order_texts
),

-- With a dot as the decimal mark, if the last mark is a comma.
order_decimals as (
    select
        *,
        case when regexp_matches(digits, ',[0-9]*$') then translate(digits, '.,', ',.') else digits end as decimals
    from order_digits
),

-- A text is read if it means the same everywhere: `1299`, `19,99`, `1,299.00` or `1.299.000`, but neither `1,299` nor
-- `1.299`. A purchase of a negative amount is a refund.
order_amounts as (
    select
        * exclude (kind, text, digits, decimals),
        case
            when not starts_with(given_amount, '"') then try_cast(given_amount as decimal(18, 4))
            when
                regexp_full_match(
                    decimals,
                    '-?([0-9]+|[0-9]*\.([0-9]{1,2}|[0-9]{4,})|(0|[0-9]{4,})\.[0-9]{3}'
                    || '|[0-9]{1,3}(,[0-9]{3})+\.[0-9]+|[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}\.[0-9]+)'
                )
                then try_cast(replace(decimals, ',', '') as decimal(18, 4))
            when regexp_full_match(decimals, '-?[0-9]{1,3}(\.[0-9]{3}){2,}')
                then try_cast(replace(decimals, '.', '') as decimal(18, 4))
        end as amount,
        case when kind = 'purchase' and amount < 0 then 'refund' else kind end as kind
    from order_decimals
),

-- Equal refunds of an order are one unless their ids differ.
order_keys as (
    select
        *,
        kind = 'purchase' as is_purchase,
        case when kind != 'purchase' then coalesce(refund_id, cast(abs(amount) as varchar)) end as refund_key
    from order_amounts
),

-- Few ids occur more than once, so only their lines are ordered.
repeated_orders as (
    select
        project_id,
        order_id
    from order_keys
    where order_id is not null
    group by project_id, order_id
    having count(*) > 1
),

-- The same purchase or refund before, in the order of arrival.
order_arrivals as (
    select
        received_hour,
        segment,
        line_number,
        lag(received_hour) over arrival as previous_hour,
        lag(received_hour) over arrival_with_amount as previous_hour_with_amount
    from order_keys
    semi join repeated_orders
        on order_keys.project_id = repeated_orders.project_id and order_keys.order_id = repeated_orders.order_id
    window
        arrival as (
            partition by project_id, order_id, is_purchase, refund_key
            order by received_at, event_time, sequence, event_id
        ),
        arrival_with_amount as (
            partition by project_id, order_id, is_purchase, refund_key, amount is null
            order by received_at, event_time, sequence, event_id
        )
),

-- The first purchase of an order counts as the order, and the first with an amount as its revenue.
orders as (
    select
        order_keys.received_hour,
        order_keys.segment,
        order_keys.line_number,
        order_keys.order_id,
        case
            when order_arrivals.previous_hour >= order_keys.received_hour - to_days($dedupe_days) then null
            else order_keys.kind
        end as order_event,
        case
            when order_arrivals.previous_hour_with_amount >= order_keys.received_hour - to_days($dedupe_days) then null
            else abs(order_keys.amount)
        end as amount,
        order_keys.is_purchase,
        case when order_keys.order_id is null and order_keys.given_order_id is not null then 'order_id: placeholder' end
            as id_warning,
        case
            when order_keys.amount is null and order_keys.given_amount is not null
                then case when order_keys.is_purchase then 'revenue' else 'refund' end || ': unreadable amount'
        end as amount_warning
    from order_keys
    left join order_arrivals
        on
            order_keys.received_hour = order_arrivals.received_hour
            and order_keys.segment = order_arrivals.segment
            and order_keys.line_number = order_arrivals.line_number
)

select
    -- identity
    sources.event_id,
    sources.project_id,
    sources.type,
    sources.event,
    sources.category,
    sources.user_id,
    sources.anonymous_id,
    coalesce(sources.anonymous_id, sources.user_id) as visitor_id,
    sources.session_id,

    -- time
    sources.event_time,
    sources.sent_at,
    sources.received_at,

    -- page
    sources.url,
    sources.host,
    sources.path,
    sources.title,

    -- origin of the visit, by the rules of Google Analytics 4's default channel group, in their order
    sources.referrer,
    sources.referrer_domain,
    case
        when
            sources.medium is null
            and sources.source_category is null
            and coalesce(sources.source, 'direct') in ('direct', '(direct)')
            then 'Direct'
        when contains(sources.campaign, 'cross-network') then 'Cross-network'
        when sources.is_paid and (sources.source_category = 'shopping' or sources.is_shopping_campaign)
            then 'Paid Shopping'
        when sources.is_paid and sources.source_category = 'search' then 'Paid Search'
        when sources.is_paid and sources.source_category = 'social' then 'Paid Social'
        when sources.is_paid and sources.source_category = 'video' then 'Paid Video'
        when sources.medium in ('display', 'banner', 'expandable', 'interstitial', 'cpm') then 'Display'
        when sources.is_paid then 'Paid Other'
        when sources.source_category = 'shopping' or sources.is_shopping_campaign then 'Organic Shopping'
        when
            sources.source_category = 'social'
            or sources.medium in ('social', 'social-network', 'social-media', 'sm', 'social network', 'social media')
            then 'Organic Social'
        when sources.source_category = 'video' or contains(sources.medium, 'video') then 'Organic Video'
        when sources.source_category = 'ai' or sources.medium = 'ai-assistant' then 'AI Assistant'
        when sources.source_category = 'search' or sources.medium = 'organic' then 'Organic Search'
        when
            sources.source_category = 'email'
            or sources.source in ('email', 'e-mail', 'e_mail', 'e mail')
            or sources.medium in ('email', 'e-mail', 'e_mail', 'e mail')
            then 'Email'
        when sources.medium in ('referral', 'app', 'link') then 'Referral'
        when sources.medium in ('affiliate', 'affiliates') then 'Affiliates'
        when sources.medium = 'audio' then 'Audio'
        when sources.source = 'sms' or sources.medium = 'sms' then 'SMS'
        when
            suffix(sources.medium, 'push')
            or contains(sources.medium, 'mobile')
            or contains(sources.medium, 'notification')
            or sources.source = 'firebase'
            then 'Mobile Push Notifications'
        when sources.utm_source is null and sources.medium is null then 'Referral'
        else 'Unassigned'
    end as channel,
    sources.utm_source,
    sources.utm_medium,
    sources.utm_campaign,
    sources.utm_term,
    sources.utm_content,

    -- client; the condition on the user agent connects the lineage to the line
    if(sources.user_agent is null, null, user_agents.browser) as browser,
    if(sources.user_agent is null, null, user_agents.os) as os,
    if(sources.user_agent is null, null, user_agents.device_type) as device_type,
    if(regexp_full_match(sources.country_code, '[A-Z]{2}'), sources.country_code, null) as country,
    coalesce(sources.user_agent is not null and user_agents.is_bot, false)
    -- PostHog's server SDKs send group properties without a person's id.
    or coalesce(
        sources.protocol = 'posthog'
        and sources.type = 'group'
        and sources.user_id is null
        and prefix(sources.anonymous_id, '$group:'),
        false
    ) as is_bot,
    if(sources.user_agent is null, null, user_agents.browser_version) as browser_version,

    -- money
    case when orders.is_purchase then orders.amount end as revenue,

    -- payload
    sources.properties,
    sources.context,
    sources.protocol,

    -- the original line
    sources.received_hour,
    sources.segment,
    sources.line_number,

    -- as sent
    sources.sequence,
    nullif(concat_ws(', ', sources.warnings, orders.id_warning, orders.amount_warning), '') as warnings,

    -- who and what
    true as is_interactive,
    false as is_internal,
    false as is_from_server,

    -- orders
    orders.order_id,
    orders.order_event,
    case when not orders.is_purchase then orders.amount end as refund,
    sources.event_name
from sources
left join orders
    on
        sources.received_hour = orders.received_hour
        and sources.segment = orders.segment
        and sources.line_number = orders.line_number
left join user_agents on sources.user_agent = user_agents.user_agent
