"""How long the runs of a job take. Read from columns of Dagster's table of runs, which is far cheaper than loading the runs."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from radar_assets.lakehouse.files import EPOCH
from radar_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION
from radar_assets.orchestration.runtime.pruning import DagsterDatabase
from radar_assets.windows import DAY, DAY_KEY, HOUR, HOUR_KEY

SINCE = timedelta(days=30)
"""The time whose runs tell how long a job usually takes."""
LATEST = 1000
"""Maximum runs of a job that are read, the latest ones."""
MIN_RUNS = 20
"""Fewer runs don't tell what is usual: 95% of them would be all of them."""


@dataclass(frozen=True)
class Took:
    """A run that succeeded.

    Attributes:
        ended: naive, UTC.
        partitions: at least 1.
    """

    ended: datetime
    seconds: float
    partitions: int


@dataclass(frozen=True)
class Usual:
    """How long most runs take, in seconds.

    Attributes:
        p95: 95% of the runs took at most as long.
    """

    runs: int
    median: float
    p95: float


def durations(instance: dg.DagsterInstance, job: str, now: datetime) -> list[Took]:
    """The latest successful runs of a job, newest first.

    Args:
        now: naive, UTC.
    """
    runs, first, last = RunsTable.c, RunTagsTable.alias("first"), RunTagsTable.alias("last")
    joined = RunsTable.outerjoin(first, (first.c.run_id == runs.run_id) & (first.c.key == FIRST_PARTITION)).outerjoin(
        last, (last.c.run_id == runs.run_id) & (last.c.key == LAST_PARTITION)
    )
    query = (
        sa.select(runs.start_time, runs.end_time, first.c.value, last.c.value)
        .select_from(joined)
        .where(
            runs.pipeline_name == job,
            runs.status == dg.DagsterRunStatus.SUCCESS.value,
            runs.start_time.is_not(None),
            runs.end_time >= (now - SINCE - EPOCH).total_seconds(),
        )
        .order_by(runs.id.desc())
        .limit(LATEST)
    )
    with DagsterDatabase(instance).runs() as connection:
        rows = connection.execute(query).all()
    return [Took(EPOCH + timedelta(seconds=end), end - start, count_partitions(*span)) for start, end, *span in rows]


def count_partitions(first: str | None, last: str | None) -> int:
    """How many partitions a range of hours or days has. 1 for a run without a range."""
    if first and last:
        for key, step in ((HOUR_KEY, HOUR), (DAY_KEY, DAY)):
            with suppress(ValueError):
                return max(1, (datetime.strptime(last, key) - datetime.strptime(first, key)) // step + 1)
    return 1


def usual(seconds: Iterable[float]) -> Usual | None:
    """How long most of these runs took; None if they are too few to tell."""
    ordered = sorted(seconds)
    if len(ordered) < MIN_RUNS:
        return None
    median, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Usual(len(ordered), median, p95)
