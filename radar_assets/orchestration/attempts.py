"""Attempts to build a partition: what Dagster knows about the last one that has not built it, and when the next one is due."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

ATTEMPT_TAG = "radar/attempt"
"""Tag of requested runs: how many times in a row their partitions have been attempted, from 1."""
MAX_DOUBLINGS = 6
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=30)
"""Pause after the first failed attempt, and the maximum. It doubles with each attempt."""


@dataclass(frozen=True)
class Attempt:
    """The latest attempt to build a partition. It is in progress, or it has failed or was canceled.

    Attributes:
        number: 1 for the first one.
        next_at: when the next one is due, in UTC; None while this one is in progress.
    """

    number: int
    next_at: datetime | None


def pause_after(number: int, first: timedelta = FIRST_PAUSE) -> timedelta:
    """The pause between an attempt and the next one.

    Args:
        first: pause after the first attempt.
    """
    return min(LONGEST_PAUSE, first * 2 ** min(number - 1, MAX_DOUBLINGS))


def latest_attempts(instance: "dg.DagsterInstance", asset: str, partitions: Collection[str]) -> dict[str, Attempt]:
    """The latest attempts of those partitions that they have not built, by partition key."""
    import dagster as dg

    if not partitions:
        return {}
    planned = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey(asset)
    )
    run_ids = {partition: run_id for partition, (run_id, _) in planned.items() if partition in partitions}
    if not run_ids:
        return {}
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(set(run_ids.values()))))
    # A run that succeeded had nothing to build for the partition at that time.
    of_run = {record.dagster_run.run_id: _attempt(record) for record in records if not record.dagster_run.is_success}
    return {partition: of_run[run_id] for partition, run_id in run_ids.items() if run_id in of_run}


def _attempt(record: "dg.RunRecord") -> Attempt:
    run = record.dagster_run
    number = int(run.tags.get(ATTEMPT_TAG, "1"))
    if not run.is_finished:
        return Attempt(number, None)
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp.astimezone(UTC)
    return Attempt(number, ended.replace(tzinfo=None) + pause_after(number))
