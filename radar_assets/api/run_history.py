"""What runs did: status, times and the reason of a failure, in words. Everything here may block."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from radar_assets.masking import masked
from radar_assets.orchestration.run_tags import TRIGGERED_BY, partition_span
from radar_assets.orchestration.runtime.durations import SINCE, durations, usual
from radar_assets.windows import utc_now

SHOWN_RUNS = 20
MAX_ERROR = 300
FAILED_SINCE = timedelta(days=7)
MAX_FAILED = 20
_STATES = {
    DagsterRunStatus.SUCCESS: ("success", "succeeded"),
    DagsterRunStatus.FAILURE: ("failure", "failed"),
    DagsterRunStatus.CANCELED: ("canceled", "canceled"),
    DagsterRunStatus.CANCELING: ("started", "being canceled"),
    DagsterRunStatus.STARTED: ("started", "running"),
    DagsterRunStatus.STARTING: ("started", "starting"),
}


@dataclass(frozen=True)
class RunView:
    """A run, as pages and the API show it.

    Attributes:
        state: success, failure, canceled, started or queued.
        words: the same for people.
        partition: of the run, or "first to last" of its range.
    """

    id: str
    job: str
    state: str
    words: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    partition: str
    triggered_by: str

    @property
    def path(self) -> str:
        """Its page in the Dagster UI."""
        return f"/runs/{self.id}"

    @property
    def took(self) -> timedelta | None:
        """How long it took, or has been running for."""
        return (self.ended_at or datetime.now(UTC)) - self.started_at if self.started_at else None

    @property
    def duration(self) -> str:
        """The same in words."""
        return "" if self.took is None else span_words(self.took)

    @property
    def summary(self) -> str:
        """One line about it."""
        parts = [self.words, time_words(self.started_at or self.created_at), self.duration, self.partition]
        return ", ".join(part for part in parts if part)


def recent_runs(instance: DagsterInstance, filters: RunsFilter, limit: int = SHOWN_RUNS) -> list[RunView]:
    """The latest runs, newest first."""
    return [view_of(record) for record in instance.get_run_records(filters, limit=limit)]


def usual_duration(instance: DagsterInstance, job: str) -> str:
    """How long the successful runs of a job take, in words; empty if they are too few to tell."""
    found = usual(each.seconds for each in durations(instance, job, utc_now()))
    if found is None:
        return ""
    median, p95 = (span_words(timedelta(seconds=seconds)) for seconds in (found.median, found.p95))
    return f"{median} (median), 95% within {p95}; {found.runs:,} runs in {SINCE.days} days"


def find_run(instance: DagsterInstance, run_id: str) -> RunView | None:
    """A run."""
    found = instance.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
    return view_of(found[0]) if found else None


def view_of(record: RunRecord) -> RunView:
    """A run as it is shown."""
    run, tags = record.dagster_run, record.dagster_run.tags
    state, words = _STATES.get(run.status, ("queued", "queued"))
    partitions = dict.fromkeys(partition_span(tags) or ())
    return RunView(
        id=run.run_id,
        job=run.job_name,
        state=state,
        words=words,
        created_at=record.create_timestamp.replace(tzinfo=record.create_timestamp.tzinfo or UTC),
        started_at=_moment(record.start_time),
        ended_at=_moment(record.end_time),
        partition=" to ".join(partitions),
        triggered_by=tags.get(TRIGGERED_BY, ""),
    )


def failed_runs(instance: DagsterInstance) -> list[tuple[RunView, str]]:
    """The failed runs of the last week, newest first, with the first line of their errors."""
    filters = RunsFilter(statuses=[DagsterRunStatus.FAILURE], created_after=datetime.now(UTC) - FAILED_SINCE)
    return [(run, first_error(instance, run.id)) for run in recent_runs(instance, filters, MAX_FAILED)]


def first_error(instance: DagsterInstance, run_id: str) -> str:
    """The first line of the error by which a run failed."""
    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run_id, of_type=kinds, limit=5).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event)]
    for event in sorted(events, key=lambda event: event.event_type != DagsterEventType.STEP_FAILURE):
        error = getattr(event.event_specific_data, "error", None)
        while error and error.cause:
            error = error.cause
        lines = ((error.message if error else event.message) or "").strip().splitlines()
        if lines:
            text = " ".join(map(masked, lines[0].split()))  # a URL is masked by itself
            return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}..."
    return ""


def span_words(span: timedelta) -> str:
    """A duration in its two largest units."""
    seconds = max(0, round(span.total_seconds()))
    for unit, size, next_unit, next_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // next_size
            return f"{seconds // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{seconds} s"


def time_words(moment: datetime) -> str:
    """A moment in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None
