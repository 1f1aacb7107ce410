-- The columns of lines that are JSON objects: the names of their members.
with parsed as (
    select try(json_keys(text)) as names
    from lines
)

select distinct unnest(names) as name
from parsed
order by name
