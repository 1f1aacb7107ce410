-- The lines of a project, in the order of their segments. Lines without a readable project are nobody's.
with parsed as (
    select
        *,
        try(json_transform(text, '{"project_id": "VARCHAR"}')) as sent
    from lines
)

select text
from parsed
where sent.project_id = $project_id
order by received_hour, segment, line_number
