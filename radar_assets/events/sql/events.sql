with
-- All lines that bear on the window: those in it, and those of other hours with an event id or order id in common with
-- one of them, received within $dedupe_days of it or at most an hour away from it (`related_rows.py`). Rules about
-- orders read these too: of lines with one order, copies included, the first within these days of receipt counts.
received as not materialized (
    select
        project_id,
        event_id,
        received_hour,
        segment,
        line_number,
        event_time,
        received_at,
        type,
        event,
        anonymous_id,
        user_id,
        session_id,
        sent_at,
        category,
        protocol,
        properties,
        context,
        sequence,
        warnings
    from raw_events
    where reason is null
    union all
    select
        project_id,
        event_id,
        received_hour,
        segment,
        line_number,
        event_time,
        received_at,
        type,
        event,
        anonymous_id,
        user_id,
        session_id,
        sent_at,
        category,
        protocol,
        properties,
        context,
        sequence,
        warnings
    from related_rows
),

-- Copies. Few ids occur more than once: a narrow scan finds candidates by hash (collisions only add candidates). Only
-- these are sorted, and all other rows are streamed.
candidates as (
    select hash(project_id, event_id) as id_hash
    from received
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
                raw_events.sequence,
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
                raw_events.warnings,
                raw_events.received_hour,
                raw_events.segment,
                raw_events.line_number
        ) as arrival
    from received as raw_events
    semi join candidates on hash(raw_events.project_id, raw_events.event_id) = candidates.id_hash
),

-- The first arrival within an hour, whenever it was received, or within the days of receipt, whatever its time. All
-- later ones are copies.
neighbours as (
    select
        received_hour,
        segment,
        line_number,
        arrival,
        least(
            min(arrival) over (
                partition by project_id, event_id
                order by event_hour range between interval 1 hour preceding and interval 1 hour following
            ),
            min(arrival) over (
                partition by project_id, event_id
                order by received_hour
                range between interval ($dedupe_days) days preceding and interval ($dedupe_days) days following
            )
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
        -- Whose properties describe a page. Those of other events may name any page, such as that of an outbound link.
        raw_events.type in ('page', 'screen') or raw_events.event in ('page_view', 'screen_view') as is_view,
        $event_name as event_name,
        json_transform(
            raw_events.properties,
            '{
                "url": "VARCHAR", "$current_url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR",
                "referrer": "VARCHAR", "$referrer": "VARCHAR",
                "$geoip_country_code": "VARCHAR", "$raw_user_agent": "VARCHAR",
                "interactive": "VARCHAR", "nonInteraction": "VARCHAR", "non_interaction": "VARCHAR"
            }'
        ) as property_fields,
        json_transform(
            raw_events.context,
            '{
                "page": {
                    "url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR", "referrer": "VARCHAR",
                    "hash_routing": "VARCHAR"
                },
                "campaign": {
                    "source": "VARCHAR", "medium": "VARCHAR", "name": "VARCHAR", "term": "VARCHAR", "content": "VARCHAR"
                },
                "userAgent": "VARCHAR", "user_agent": "VARCHAR", "location": {"country": "VARCHAR"}, "country": "VARCHAR",
                "ip": "VARCHAR", "interactive": "VARCHAR"
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
            if(is_view, nullif(property_fields.url, ''), null),
            nullif(property_fields['$current_url'], ''),
            nullif(context_fields.page.url, '')
        ) as url,
        case
            when is_view and property_fields.path != '' then property_fields.path
            when
                (not is_view or coalesce(property_fields.url, '') = '')
                and coalesce(property_fields['$current_url'], '') = ''
                then nullif(context_fields.page.path, '')
        end as given_path,
        coalesce(if(is_view, nullif(property_fields.title, ''), null), nullif(context_fields.page.title, '')) as title,
        coalesce(context_fields.page.hash_routing = 'true', false) or $is_hash_routed as is_hash_routed,
        -- posthog-js sends `$direct` if there is no referrer.
        coalesce(
            if(is_view, nullif(property_fields.referrer, ''), null),
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
        ) as country_code,
        context_fields.ip as address,
        coalesce(context_fields.interactive in ('false', '0'), false)
        -- Events of Plausible's tracker that landed before the door moved the mark to the context.
        or coalesce(protocol = 'plausible' and property_fields.interactive in ('false', '0'), false)
        or coalesce(property_fields['nonInteraction'] in ('true', '1'), false)
        or coalesce(property_fields.non_interaction in ('true', '1'), false) as is_marked_passive
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
        -- The part of a URL that routes within an app, if the sender or the project says that it does.
        case
            when is_hash_routed
                then
                    coalesce(
                        nullif(substr(url, length(split_part(url, '#', 1)) + 2), ''),
                        nullif(substr(given_path, length(split_part(given_path, '#', 1)) + 2), '')
                    )
        end as fragment,
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
        case
            when contains(fragment, '?')
                then
                    concat(
                        '&', substr(resource, length(location) + 2), '&', substr(fragment, strpos(fragment, '?') + 1)
                    )
            else nullif('&' || substr(resource, length(location) + 2), '&')
        end as query,
        nullif(split_part(fragment, '?', 1), '') as route
    from cut
),

-- Links in HTML are sometimes followed with their ampersands still escaped.
hosts as (
    select
        * exclude (query),
        if(contains(query, '&amp;'), regexp_replace(query, '&(amp;)+', '&', 'g'), query) as query,
        lower(split_part(authority, '@', -1)) as host_and_port,
        case
            when given_path is not null then split_part(split_part(given_path, '#', 1), '?', 1)
            when authority is null or (authority = '' and not contains(location, '//')) then location
            else substr(location, strpos(location, '//') + length(authority) + 2)
        end as bare_path,
        if(prefix(linking_host, 'www.'), substr(linking_host, 5), linking_host) as linking_domain
    from authorities
),

queries as (
    select
        *,
        replace(split_part(split_part(query, '&utm_source=', 2), '&', 1), '+', ' ') as query_source,
        replace(split_part(split_part(query, '&utm_medium=', 2), '&', 1), '+', ' ') as query_medium,
        replace(split_part(split_part(query, '&utm_campaign=', 2), '&', 1), '+', ' ') as query_campaign,
        replace(split_part(split_part(query, '&utm_term=', 2), '&', 1), '+', ' ') as query_term,
        replace(split_part(split_part(query, '&utm_content=', 2), '&', 1), '+', ' ') as query_content,
        -- Google Ads adds `gad_source` to its links, also where it may not add the id of the click.
        coalesce(
            nullif(
                regexp_extract(
                    query, '&(gclid|gbraid|wbraid|dclid|msclkid|yclid|fbclid|ttclid|twclid|li_fat_id)=[^&]', 1
                ),
                ''
            ),
            regexp_extract(query, '&(gad_source)=[^&]', 1)
        ) as click_id
    from hosts
),

-- Text with percent sequences that are not UTF-8 stays encoded.
decoded as (
    select
        *,
        nullif(
            if(
                contains(host_and_port, ':') or suffix(host_and_port, '.'),
                regexp_replace(host_and_port, '\.*(:[0-9]*)?$', ''),
                host_and_port
            ),
            ''
        ) as host,
        if(prefix(bare_path, '/'), bare_path, '/' || bare_path) as sent_path,
        nullif(
            if(
                contains(linking_domain, ':') or suffix(linking_domain, '.'),
                regexp_replace(linking_domain, '\.*(:[0-9]*)?$', ''),
                linking_domain
            ),
            ''
        ) as site,
        coalesce(try(url_decode(query_source)), query_source) as decoded_source,
        coalesce(try(url_decode(query_medium)), query_medium) as decoded_medium,
        coalesce(try(url_decode(query_campaign)), query_campaign) as decoded_campaign,
        coalesce(try(url_decode(query_term)), query_term) as decoded_term,
        coalesce(try(url_decode(query_content)), query_content) as decoded_content
    from queries
),

-- One page has one path: without the session ids that some servers write into it, and in one spelling.
-- The conditions are quick, and few paths meet them.
sites as (
    select
        *,
        case
            when contains(sent_path, ';') or contains(sent_path, '%3') or contains(sent_path, '/(')
                then coalesce(nullif(regexp_replace(sent_path, $session_in_path, '', 'g'), ''), '/')
            else sent_path
        end as plain_path,
        coalesce(nullif(trim(decoded_source, $blanks), ''), nullif(trim(campaign_source, $blanks), '')) as utm_source,
        coalesce(nullif(trim(decoded_medium, $blanks), ''), nullif(trim(campaign_medium, $blanks), '')) as utm_medium,
        coalesce(nullif(trim(decoded_campaign, $blanks), ''), nullif(trim(campaign_name, $blanks), ''))
            as utm_campaign,
        coalesce(nullif(trim(decoded_term, $blanks), ''), nullif(trim(campaign_term, $blanks), '')) as utm_term,
        coalesce(nullif(trim(decoded_content, $blanks), ''), nullif(trim(campaign_content, $blanks), ''))
            as utm_content,
        host in (site, 'www.' || site) as is_same_host
    from decoded
),

routed as (
    select
        *,
        if(route is null, plain_path, plain_path || '#' || route) as plain_page,
        -- The last two labels of hosts that share them, unless they are addresses.
        case
            when
                not is_same_host
                and split_part(host, '.', -1) = split_part(site, '.', -1)
                and split_part(host, '.', -2) = split_part(site, '.', -2)
                and not regexp_matches(host, '[.:][0-9]+$|]$')
                then split_part(host, '.', -2) || '.' || split_part(host, '.', -1)
        end as shared_domain
    from sites
),

spelled as (
    select
        *,
        if(contains(plain_page, ' '), replace(plain_page, ' ', '%20'), plain_page) as spelled_path
    from routed
),

-- The normal form of RFC 3986, with letters outside of ASCII shown as letters.
normal as (
    select
        *,
        case
            when contains(spelled_path, '%')
                then
                    array_to_string(
                        list_transform(
                            regexp_extract_all(spelled_path, $escapes_and_texts),
                            lambda part: case
                                when not starts_with(part, '%') then part
                                when regexp_full_match(part, $readable_escape)
                                    then coalesce(try(url_decode(part)), upper(part))
                                else upper(part)
                            end
                        ),
                        ''
                    )
            else spelled_path
        end as normal_path
    from spelled
),

pages as (
    select
        *,
        case
            when contains(normal_path, '/.') and regexp_matches(split_part(normal_path, '#', 1), '/\.\.?(?:/|$)')
                then
                    list_reduce(
                        string_split(regexp_replace(split_part(normal_path, '#', 1), '(/\.\.?)$', '\1/'), '/'),
                        (above, part) -> case part
                            when '..' then regexp_replace(above, '/[^/]*$', '')
                            when '.' then above
                            else above || '/' || part
                        end
                    )
                    || substr(normal_path, length(split_part(normal_path, '#', 1)) + 1)
            else normal_path
        end as path
    from normal
),

-- Hosts belong to one site if they share a registrable domain: one label more than the longest public suffix.
registered as (
    select
        pages.*,
        case
            when shared_domain is not null
                then
                    list_slice(
                        string_split(host, '.'),
                        -1 - coalesce(
                            list_filter(
                                public_suffixes.rules, lambda rule: ends_with('.' || host, rule['ending'])
                            )[1]['labels'],
                            1
                        ),
                        -1
                    )
                    = list_slice(
                        string_split(site, '.'),
                        -1 - coalesce(
                            list_filter(
                                public_suffixes.rules, lambda rule: ends_with('.' || site, rule['ending'])
                            )[1]['labels'],
                            1
                        ),
                        -1
                    )
            else is_same_host
        end as is_same_site
    from pages
    left join public_suffixes
        on
            public_suffixes.domain
            = case
                when split_part(pages.shared_domain, '.', -1) in $wildcard_suffixes
                    then split_part(pages.shared_domain, '.', -1)
                else pages.shared_domain
            end
),

-- Meaning of click ids: Facebook adds one to every outgoing link, the other networks only to ads.
campaigns as (
    select
        *,
        case when not coalesce(is_same_site, false) then site end as referrer_domain,
        case
            when lower(utm_medium) not in ('(none)', '(not set)') then lower(utm_medium)
            when click_id = 'dclid' then 'display'
            when click_id not in ('', 'fbclid') then 'cpc'
        end as medium,
        case
            when click_id in ('gclid', 'gbraid', 'wbraid', 'gad_source', 'msclkid', 'yclid') then 'search'
            when click_id in ('fbclid', 'ttclid', 'twclid', 'li_fat_id') then 'social'
        end as click_category,
        lower(utm_campaign) as campaign
    from registered
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

-- The first property that is usable. Amounts stay JSON, since only texts are written in the ways of several countries.
order_fields as (
    select
        order_lines.* exclude (event_name, properties),
        -- A usable id, or else the first one, for the warning.
        list_transform(
            [
                list_filter(
                    json_extract_string(
                        order_lines.properties,
                        [$order_ids]
                    ),
                    lambda each: trim(each) != ''
                )
            ],
            lambda ids: coalesce(list_filter(ids, lambda id: lower(trim(id)) not in ($placeholders))[1], ids[1])
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
    not sources.is_marked_passive
    and sources.type not in ($passive_types)
    and case
        when prefix(sources.event, '$') then lower(sources.event) not in ($passive_prefixed)
        else lower(sources.event) not in ($passive_plain)
    end as is_interactive,
    coalesce($is_internal, false) as is_internal,
    case
        when
            sources.session_id is not null
            or sources.path is not null
            or sources.user_agent is not null
            or sources.type in ($views)
            or sources.event in ($views)
            then false
        else
            len(
                list_filter(
                    coalesce(json_extract_string(sources.context, $client_context), [])
                    || coalesce(json_extract_string(sources.properties, $client_properties), []),
                    lambda field: field is not null
                )
            ) = 0
            and coalesce(json_extract_string(sources.context, '$.platform') not in ($client_platforms), true)
    end as is_from_server,

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
