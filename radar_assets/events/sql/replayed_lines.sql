-- The candidates with their outcome: still rejected; a copy, because an event with the same id was accepted before, in
-- the table or earlier in this list; or accepted.
with

candidates as (
    select * from candidates
),

verdicts as (
    select
        *,
        row_number() over (
            partition by reason is null, project_id, event_id order by received_hour, segment, line_number
        ) as occurrence
    from verdicts
),

accepted_before as (
    select distinct
        project_id,
        event_id
    from raw_events
    where reason is null
)

select
    candidates.line,
    candidates.rejected_for,
    case
        when verdicts.reason is not null then 'rejected'
        when verdicts.occurrence > 1 or accepted_before.event_id is not null then 'copy'
        else 'accepted'
    end as outcome
from candidates
inner join verdicts
    on
        candidates.received_hour = verdicts.received_hour
        and candidates.segment = verdicts.segment
        and candidates.line_number = verdicts.line_number
left join accepted_before
    on verdicts.project_id = accepted_before.project_id and verdicts.event_id = accepted_before.event_id
order by candidates.received_hour, candidates.segment, candidates.line_number
