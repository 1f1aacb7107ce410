with
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
        json_transform(
            raw_events.properties,
            '{
                "url": "VARCHAR", "$current_url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR",
                "referrer": "VARCHAR", "$referrer": "VARCHAR",
                "revenue": "VARCHAR", "$geoip_country_code": "VARCHAR", "$raw_user_agent": "VARCHAR",
                "interactive": "VARCHAR", "nonInteraction": "VARCHAR", "non_interaction": "VARCHAR"
            }'
        ) as property_fields,
        json_transform(
            raw_events.context,
            '{
                "page": {"url": "VARCHAR", "path": "VARCHAR", "title": "VARCHAR", "referrer": "VARCHAR"},
                "campaign": {
                    "source": "VARCHAR", "medium": "VARCHAR", "name": "VARCHAR", "term": "VARCHAR", "content": "VARCHAR"
                },
                "userAgent": "VARCHAR", "user_agent": "VARCHAR", "location": {"country": "VARCHAR"}, "country": "VARCHAR",
                "interactive": "VARCHAR"
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
        ) as country_code,
        try_cast(property_fields.revenue as decimal(18, 4)) as revenue,
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
    sources.revenue,

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
    sources.warnings,

    -- who and what
    not sources.is_marked_passive
    and sources.type not in ($passive_types)
    and case
        when prefix(sources.event, '$') then lower(sources.event) not in ($passive_prefixed)
        else lower(sources.event) not in ($passive_plain)
    end as is_interactive,
    false as is_internal,
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
    cast(null as varchar) as order_id,
    cast(null as varchar) as order_event,
    cast(null as decimal(18, 4)) as refund
from sources
left join user_agents on sources.user_agent = user_agents.user_agent
