-- Visitors, page views and sessions of pages, sources and channels, over all projects.
select
    date as starts_at,
    case dimension when 'utm_source' then 'source' else dimension end as dimension,
    value as label,
    measure,
    sum(number) as value
from daily_breakdowns
unpivot (number for measure in (visitors, page_views, sessions))
where dimension in ('page', 'channel', 'utm_source')
group by all
