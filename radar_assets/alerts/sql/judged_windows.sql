-- The windows that were judged: for each lens, the projects that have the same ones.
with

judged as (
    select
        lens,
        project_id,
        list(window_start order by window_start) as window_starts
    from judgements
    where is_judged
    group by lens, project_id
)

select
    lens,
    window_starts,
    list(project_id order by project_id) as project_ids
from judged
group by lens, window_starts
