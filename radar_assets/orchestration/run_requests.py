"""Turns stale partitions into run requests: grouped, limited, and without duplicates.

`lakehouse/staleness.py` decides which partitions are stale. This module adds what Dagster knows: partitions in progress, the grids,
and run keys, by which Dagster drops repeated requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.windows import DAY_KEY, HOUR_KEY, Window, contiguous, utc_now

RUNS_A_TICK = 20
"""Maximum requests per tick. A backlog takes several ticks, so that live data are not queued behind all of it."""
LONGEST_RUN = {"hour": 24 * 7, "day": 31}
"""Maximum partitions per run, by grid."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
KEY = {"hour": HOUR_KEY, "day": DAY_KEY}


def since_recovery(name: str, *tables: Snapshot) -> str:
    """A key for cursors and runs. It changes when one of the tables is recovered, because its sequence numbers and partitions may have
    gone back by then: cursors start anew, and runs are requested again.
    """
    return "@".join([name, *(table.recovered_at for table in tables if table.recovered_at)])


def partitions_in_progress(instance: dg.DagsterInstance, asset: str) -> set[str]:
    """Partitions of an asset that a queued or running run has yet to materialize."""
    pending = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey(asset)
    )
    if not pending:
        return set()
    runs = {run_id for run_id, _ in pending.values()}
    unfinished = {
        record.dagster_run.run_id
        for record in instance.get_run_records(dg.RunsFilter(run_ids=list(runs), statuses=UNFINISHED))
    }
    return {partition for partition, (run_id, _) in pending.items() if run_id in unfinished}


def due_partitions(
    instance: dg.DagsterInstance, stale: Mapping[int, int], asset: str, unit: str, start: datetime
) -> dict[datetime, int]:
    """The stale partitions to request now: on the grid, not in the future, and not in progress.

    Args:
        stale: sequence numbers by hour or day since 1970.
        asset: the first asset that the run would rebuild.
        start: start of the grid.
    """
    busy = partitions_in_progress(instance, asset) if stale else set()
    now = utc_now()
    due = {from_unit(value, unit): number for value, number in stale.items()}
    return {at: number for at, number in due.items() if start <= at <= now and at.strftime(KEY[unit]) not in busy}


def requests(
    due: Mapping[datetime, int],
    unit: str,
    assets: Sequence[str],
    *,
    prefix: str,
    tags: Mapping[str, str] | None = None,
    checks: Sequence[dg.AssetCheckKey] | None = None,
) -> list[dg.RunRequest]:
    """One request for each stretch of due partitions.

    Args:
        due: for each partition, the sequence number of the change that made it due. The largest is part of the run key.
        checks: as for `request`.
    """
    found = []
    for window in stretches(due, unit):
        newest = max(number for moment, number in due.items() if window.start <= moment < window.end)
        found.append(
            request(window, unit, assets, run_key=f"{prefix}:{_key(window, unit)}:{newest}", tags=tags, checks=checks)
        )
    return found


def stretches(due: Iterable[datetime], unit: str) -> list[Window]:
    """The due partitions of one tick as windows: the newest hours, so that live data don't wait for history, and the oldest days,
    because a day affects who is new on later days.

    Consecutive partitions form one window. If there are still too many windows of hours, gaps are bridged: an hour that isn't stale
    costs an incremental run almost nothing, while a separate run costs a process.
    """
    windows = contiguous(due, STEP[unit], LONGEST_RUN[unit])
    if unit == "hour" and len(windows) > RUNS_A_TICK:
        bridged = windows[:1]
        for window in windows[1:]:
            if window.end - bridged[-1].start <= LONGEST_RUN[unit] * STEP[unit]:
                bridged[-1] = Window(bridged[-1].start, window.end)
            else:
                bridged.append(window)
        windows = bridged
    return windows[: -RUNS_A_TICK - 1 : -1] if unit == "hour" else windows[:RUNS_A_TICK]


def request(
    window: Window,
    unit: str,
    assets: Iterable[str],
    *,
    run_key: str,
    tags: Mapping[str, str] | None = None,
    checks: Sequence[dg.AssetCheckKey] | None = None,
) -> dg.RunRequest:
    """A request for all partitions of a window in one run.

    Args:
        checks: the checks that run with their assets. If None, Dagster runs all checks of the selected assets, including those that
            the job excludes.
    """
    first, last = window.start.strftime(KEY[unit]), (window.end - STEP[unit]).strftime(KEY[unit])
    selection = [dg.AssetKey(asset) for asset in assets]
    chosen = None if checks is None else [key for key in checks if key.asset_key in selection]
    common: Any = {"run_key": run_key, "asset_selection": selection, "asset_check_keys": chosen}
    if first == last:
        return dg.RunRequest(**common, partition_key=first, tags=dict(tags or {}))
    span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return dg.RunRequest(**common, tags={**(tags or {}), **span})


def has_rested(instance: dg.DagsterInstance, asset: str, partition: str, span: timedelta) -> bool:
    """Whether a partition was never materialized, or at least this long ago."""
    if not span:
        return True
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    return not records or utc_now() - datetime(1970, 1, 1) - timedelta(seconds=records[0].timestamp) >= span


def _key(window: Window, unit: str) -> str:
    first, last = window.start.strftime(KEY[unit]), (window.end - STEP[unit]).strftime(KEY[unit])
    return first if first == last else f"{first}...{last}"
