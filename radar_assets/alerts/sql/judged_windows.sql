-- The judged windows: for each lens, with the projects that share them.
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
