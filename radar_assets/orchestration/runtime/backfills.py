"""Backfills: queues one in the daemon, and shows the progress of those in progress, as the recorded runs tell it.

Any run with Dagster's tag of a backfill counts, whether Radar, `dagster job backfill` or the UI started it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from radar_assets.lakehouse.files import EPOCH, STEP
from radar_assets.orchestration.retries import waiting_for_retry, without_retry
from radar_assets.orchestration.run_requests import KEY
from radar_assets.orchestration.run_tags import partition_span, span_tags
from radar_assets.windows import Window, contiguous, to_window, utc_now

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord
    from dagster._core.execution.backfill import PartitionBackfill
    from dagster._core.remote_representation.code_location import CodeLocation
    from dagster._core.workspace.context import BaseWorkspaceRequestContext

BACKFILL_TAG = "dagster/backfill"
PARTITIONS_A_RUN = {"hour": 24, "day": 7}
"""Few enough that progress shows and a killed run loses little, and many enough that starting runs takes little of the time."""


@dataclass(frozen=True)
class Progress:
    """A backfill in progress.

    Attributes:
        job: name of the job, or of Dagster's job for assets if the UI started it.
        done, failed, total: numbers of partitions. Those that wait for a retry are neither done nor failed.
        elapsed: since it was requested.
        left: estimated time left; None until a first run has ended.
        assets: those of the runs; empty if they build all of the job.
    """

    id: str
    job: str
    done: int
    failed: int
    total: int
    elapsed: timedelta
    left: timedelta | None
    assets: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.done + self.failed >= self.total


def backfills_in_progress(instance: "DagsterInstance", now: datetime | None = None) -> list[Progress]:
    """The backfills that have partitions to build, oldest first.

    Args:
        now: naive, UTC.
    """
    from dagster import RunsFilter
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
    from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

    unfinished = RunsFilter(statuses=NOT_FINISHED_STATUSES)
    runs = [*instance.get_runs(unfinished), *(record.dagster_run for record in waiting_for_retry(instance))]
    # Again, because runs that waited for a retry may have got it just now.
    runs += instance.get_runs(unfinished)
    requested = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED]))
    ids = {run.tags[BACKFILL_TAG] for run in runs if BACKFILL_TAG in run.tags}
    ids |= {backfill.backfill_id for backfill in requested}
    found = [progress(instance, id, now) for id in ids]
    return sorted((each for each in found if each and not each.is_over), key=lambda each: -each.elapsed)


def progress(instance: "DagsterInstance", id: str, now: datetime | None = None) -> Progress | None:
    """The progress of a backfill; None if it is unknown.

    The estimate is the mean time that a partition has taken, for those left, divided by the number of runs that were in progress at
    once on average. Times in which nothing ran, such as a restart, don't count.
    """
    from dagster import RunsFilter

    now = now or utc_now()
    backfill = instance.get_backfill(id)
    records = instance.get_run_records(RunsFilter(tags={BACKFILL_TAG: id}), ascending=True)
    if not records and not backfill:
        return None
    waiting = {record.dagster_run.run_id for record in without_retry(records, now)}
    states: dict[str, str] = dict.fromkeys(_targeted(backfill), "open")
    for record in records:
        states |= dict.fromkeys(_partitions(record), _state(record, waiting))
    counts = [list(states.values()).count(state) for state in ("done", "failed", "open")]
    since = backfill.backfill_timestamp if backfill else records[0].create_timestamp.timestamp()
    job = records[0].dagster_run.job_name if records else _job(backfill)
    left = _time_left(records, counts[2], now)
    assets = frozenset(key.to_user_string() for record in records for key in record.dagster_run.asset_selection or ())
    return Progress(id, job, counts[0], counts[1], len(states), now - _moment(since), left, assets)


def _state(record: "RunRecord", waiting: set[str]) -> str:
    run = record.dagster_run
    if run.is_success:
        return "done"
    return "failed" if run.is_finished and run.run_id not in waiting else "open"


def _time_left(records: "Sequence[RunRecord]", left: int, now: datetime) -> timedelta | None:
    spans: list[tuple[float, float]] = []
    running: list[tuple[float, int]] = []
    took, built, until = 0.0, 0, (now - EPOCH).total_seconds()
    for record in records:
        if record.start_time is None:
            continue
        end = record.end_time or until
        spans.append((record.start_time, end))
        partitions = len(_partitions(record))
        if record.dagster_run.is_success:
            took, built = took + end - record.start_time, built + partitions
        elif not record.dagster_run.is_finished:
            running.append((end - record.start_time, partitions))
    if not left:
        return timedelta(0)
    if not built:
        return None
    each = took / built
    begun = sum(min(elapsed, each * partitions) for elapsed, partitions in running)
    at_once = max(1.0, sum(end - start for start, end in spans) / _covered(spans)) if _covered(spans) else 1.0
    return timedelta(seconds=max(0.0, left * each - begun) / at_once)


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """How many seconds at least one of the spans covers."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _targeted(backfill: "PartitionBackfill | None") -> set[str]:
    """The partitions that a backfill asked for, as far as it says."""
    if backfill is None:
        return set()
    if backfill.asset_backfill_data is not None:
        subsets = backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key.values()
        return {key for subset in subsets for key in subset.get_partition_keys()}
    return set(backfill.partition_names or ())


def _partitions(record: "RunRecord") -> list[str]:
    span = partition_span(record.dagster_run.tags)
    if span is None:
        return []
    first, last = map(to_window, span)
    unit = "day" if len(span[0]) == len("2026-11-02") else "hour"
    return list(_keys(Window(first.start, last.end), unit))


def _keys(window: Window, unit: str) -> Iterator[str]:
    at = window.start
    while at < window.end:
        yield at.strftime(KEY[unit])
        at += STEP[unit]


def _job(backfill: "PartitionBackfill | None") -> str:
    name = backfill.partition_set_name if backfill and not backfill.is_asset_backfill else None
    return (name or "").removesuffix("_partition_set")


def _moment(timestamp: float) -> datetime:
    return EPOCH + timedelta(seconds=timestamp)


def queue_backfill(
    instance: "DagsterInstance",
    definitions: str,
    job: str,
    partitions: Sequence[datetime],
    unit: str,
    tags: Mapping[str, str],
) -> str:
    """Queue runs that build partitions of a job, oldest first. Returns the id of the backfill.

    The daemon runs them, also after a restart of either side, and retries those that fail.

    Args:
        definitions: module with the definitions.
        partitions: starts of the hours or days.
        tags: further tags of the runs.
    """
    from dagster import __version__
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget

    target = ModuleTarget(definitions, attribute=None, working_directory=None, location_name=definitions)
    with WorkspaceProcessContext(instance, target, version=__version__, code_server_log_level="WARNING") as process:
        workspace = process.create_request_context()
        return queue_runs(workspace, workspace.get_code_location(definitions), job, partitions, unit, tags)


def queue_runs(
    workspace: "BaseWorkspaceRequestContext",
    location: "CodeLocation",
    job: str,
    partitions: Sequence[datetime],
    unit: str,
    tags: Mapping[str, str],
    id: str | None = None,
) -> str:
    """Like `queue_backfill`, with definitions that are loaded already.

    Args:
        location: code location of the job.
        id: id of the backfill, in at most 32 characters. If a process was killed while it queued that backfill, this goes on where it
            ended. Default: a new one.
    """
    from dagster import DagsterRunStatus, PartitionKeyRange, RunsFilter
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
    from dagster._core.execution.job_backfill import create_backfill_run
    from dagster._core.utils import make_new_backfill_id

    instance, id = workspace.instance, id or make_new_backfill_id()
    (repository,) = location.get_repositories().values()
    (partition_set,) = [each for each in repository.get_partition_sets() if each.job_name == job]
    remote_job = repository.get_full_job(job)
    backfill = PartitionBackfill(
        backfill_id=id,
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags=tags,
        backfill_timestamp=(utc_now() - EPOCH).total_seconds(),
        partition_set_origin=partition_set.get_remote_origin(),
        partition_names=[at.strftime(KEY[unit]) for at in partitions],
    )
    known = instance.get_run_records(RunsFilter(tags={BACKFILL_TAG: id}))
    for record in known:
        if record.dagster_run.status == DagsterRunStatus.NOT_STARTED:
            instance.submit_run(record.dagster_run.run_id, workspace)
    has_run = {key for record in known for key in _partitions(record)}
    missing = [at for at in partitions if at.strftime(KEY[unit]) not in has_run]
    for window in contiguous(missing, STEP[unit], PARTITIONS_A_RUN[unit]):
        first, last = window.start.strftime(KEY[unit]), (window.end - STEP[unit]).strftime(KEY[unit])
        span, keys = span_tags(first, last), PartitionKeyRange(first, last)
        run = create_backfill_run(workspace, instance, location, remote_job, partition_set, backfill, keys, span, {})
        assert run
        instance.submit_run(run.run_id, workspace)
    # Last, because the daemon requests runs for partitions that have none, all of them in one.
    if instance.get_backfill(id) is None:
        instance.add_backfill(backfill)
    return id
