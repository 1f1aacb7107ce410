"""Finds runs that take much longer than is usual for their job, while they are under way or once they have ended."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from radar_assets.lakehouse.files import EPOCH
from radar_assets.orchestration.run_tags import partition_span
from radar_assets.windows import Window

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

    from radar_assets.orchestration.runtime.durations import Took

SHORTEST = timedelta(minutes=2)
"""Shorter runs are never slow: a busy machine makes a job of seconds several times slower, and no one has to act."""
CHOSEN_ASSETS = "__ASSET_JOB"
"""Dagster's job for runs of chosen assets, which have no usual duration."""


@dataclass(frozen=True)
class SlowRun:
    """A window at whose end a run was, or in which it ended, too late.

    Attributes:
        elapsed: by then.
        times: that as a multiple of what 95% of the runs of its job take.
    """

    record: "RunRecord"
    elapsed: timedelta
    times: float


@dataclass
class JobFindings:
    """The findings about a job, by window.

    Attributes:
        slow: the slowest run of a window.
        fine: windows in which a run ended in time.
    """

    slow: dict[Window, SlowRun] = field(default_factory=dict)
    fine: set[Window] = field(default_factory=set)


def judge(
    instance: "DagsterInstance", records: Iterable["RunRecord"], windows: Sequence[Window], factor: float, now: datetime
) -> dict[str, JobFindings]:
    """Judge runs by windows, in a way that a later call finds the same.

    Args:
        records: runs in progress and those that ended in the windows.
        factor: how many times longer than usual is too long.
        now: naive, UTC.
    """
    from radar_assets.orchestration.runtime.durations import durations

    found: dict[str, JobFindings] = defaultdict(JobFindings)
    history: dict[str, list[Took]] = {}
    for record in records:
        job = record.dagster_run.job_name
        if record.start_time is None or job == CHOSEN_ASSETS:
            continue
        start, end = _moment(record.start_time), _moment(record.end_time) if record.end_time else None
        usual = None
        if (end or now) - start > SHORTEST:
            if job not in history:
                history[job] = durations(instance, job, now)
            usual = _usual(record, history[job], start)
        for window in windows:
            if start >= window.end or (end and end <= window.start):
                continue
            elapsed = min(end or window.end, window.end) - start
            if usual and elapsed > max(SHORTEST, factor * usual):
                slow = SlowRun(record, elapsed, elapsed / usual)
                found[job].slow[window] = max(found[job].slow.get(window, slow), slow, key=lambda each: each.times)
            elif end and end <= window.end and record.dagster_run.is_success:
                found[job].fine.add(window)
    return found


def text(slow: SlowRun, name: str, now: datetime) -> str:
    """What happened.

    Args:
        name: of the run.
        now: naive, UTC.
    """
    run, ended = slow.record.dagster_run, slow.record.end_time is not None
    took = (_moment(slow.record.end_time) if slow.record.end_time else now) - _moment(slow.record.start_time or 0)
    minutes = took / timedelta(minutes=1)
    by = " per partition" if _partitions(slow.record) > 1 else ""
    return (
        f"{run.job_name} ({name}) {'took' if ended else 'has been running for'} {minutes:.0f} minutes, "
        f"{slow.times:.1f} times as long{by} as 95% of its runs in the last 30 days"
    )


def _usual(record: "RunRecord", history: Iterable["Took"], start: datetime) -> timedelta | None:
    """What 95% of the runs before this one took at most, for as many partitions. A run over several may take as many times as long."""
    from radar_assets.orchestration.runtime.durations import usual

    before = usual(each.seconds / each.partitions for each in history if each.ended <= start)
    return timedelta(seconds=max(before.p95, 0.001) * _partitions(record)) if before else None


def _partitions(record: "RunRecord") -> int:
    from radar_assets.orchestration.runtime.durations import count_partitions

    return count_partitions(*(partition_span(record.dagster_run.tags) or (None, None)))


def _moment(timestamp: float) -> datetime:
    return EPOCH + timedelta(seconds=timestamp)
