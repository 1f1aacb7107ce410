-- The columns of NDJSON lines: the names of the members.
with parsed as (
    select try(json_keys(text)) as names
    from lines
)

select distinct unnest(names) as name
from parsed
order by name
