"""How stale partitions become run requests: grouped, capped, and never asked for twice.

Which partitions are stale is a level that the lakehouse tells (`lakehouse/staleness.py`). What belongs here is what Dagster adds
to it: the partitions that a run is already at, the grids, and the keys under which Dagster drops a request that it has seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.windows import DAY_KEY, HOUR_KEY, Window, contiguous, utc_now

RUNS_A_TICK = 20
"""Most requests of one tick: a backlog is worked off over several, and live work isn't queued behind all of it."""
LONGEST_RUN = {"hour": 24 * 7, "day": 31}
"""Most partitions of one run, by grid."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
KEY = {"hour": HOUR_KEY, "day": DAY_KEY}


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
    """The stale partitions that can be asked for now: they exist by this time, and no run is at them.

    Args:
        stale: sequence numbers by hour or day since 1970.
        asset: the first asset that would be rebuilt.
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
        due: sequence number of the change that makes each partition due; with the stretch it makes the run key.
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
    """Windows of due partitions, as many as one tick asks for: the newest hours, since live data don't wait for history, and the
    oldest days, since a day changes who is new in those after it.

    Those that follow each other go together. Where that leaves more windows of hours than a tick may ask for, gaps are bridged: in
    an incremental run an hour that isn't stale costs its record in Dagster, a run of its own costs a process.
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
        checks: those of all assets that run with them. Without any said, Dagster runs all that there are of the chosen assets, also
            those that the job leaves out.
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
    """Whether a partition was last materialized at least so long ago, if ever."""
    if not span:
        return True
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    return not records or utc_now() - datetime(1970, 1, 1) - timedelta(seconds=records[0].timestamp) >= span


def _key(window: Window, unit: str) -> str:
    first, last = window.start.strftime(KEY[unit]), (window.end - STEP[unit]).strftime(KEY[unit])
    return first if first == last else f"{first}...{last}"
