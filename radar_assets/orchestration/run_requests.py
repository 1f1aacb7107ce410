"""Turns stale partitions into run requests: grouped, limited, without duplicates, and repeated until the partitions are built.

`lakehouse/staleness.py` decides which partitions are stale. This module adds what Dagster knows: the grids, earlier attempts, and
run keys, by which Dagster drops repeated requests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import dagster as dg

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.orchestration.attempts import ATTEMPT_TAG, latest_attempts
from radar_assets.orchestration.run_tags import span_tags
from radar_assets.windows import DAY_KEY, HOUR_KEY, Grids, Window, contiguous, utc_now

T = TypeVar("T")

RUNS_A_TICK = 20
"""Maximum requests per tick. A backlog takes several ticks, so that live data are not queued behind all of it."""
LONGEST_RUN = {"hour": 24 * 7, "day": 31}
"""Maximum partitions per run, by grid."""

KEY = {"hour": HOUR_KEY, "day": DAY_KEY}


def since_recovery(name: str, *tables: Snapshot) -> str:
    """A key for cursors and runs. It changes when one of the tables is recovered, because its sequence numbers and partitions may have
    gone back by then: cursors start anew, and runs are requested again.
    """
    return "@".join([name, *(table.recovered_at for table in tables if table.recovered_at)])


def saved_cursor(instance: dg.DagsterInstance, sensor: str) -> str | None:
    """The cursor that the daemon keeps for a sensor; None before its first tick."""
    states = (state for state in instance.all_instigator_state() if state.instigator_name == sensor)
    return next((getattr(state.instigator_data, "cursor", None) for state in states), None)


def due_partitions(stale: Mapping[int, int], unit: str, grids: Grids, calendar: Calendar) -> dict[datetime, int]:
    """The stale partitions that are on the grid and have begun.

    Args:
        stale: sequence numbers by hour or day since 1970.
    """
    now = utc_now()
    start, last = grids.start_of(unit), now
    if unit == "day":
        # Definitions that were loaded before a time zone was used don't have the days yet that begin earlier there.
        last = Window.of_day(min(calendar.last_begun(now), grids.last_day(now))).start
    due = {from_unit(value, unit): number for value, number in stale.items()}
    return {at: number for at, number in due.items() if start <= at <= last}


def requests(
    instance: dg.DagsterInstance,
    due: Mapping[datetime, T],
    unit: str,
    assets: Sequence[str],
    *,
    prefix: str,
    version: Callable[[list[T]], object] = max,
    tags: Mapping[str, str] | None = None,
    checks: Sequence[dg.AssetCheckKey] | None = None,
) -> list[dg.RunRequest]:
    """One request for each stretch of due partitions that may be attempted now.

    Partitions in progress wait for the end of their run. Partitions whose run failed wait for a pause that grows with each attempt,
    and are requested apart from others, in ever shorter windows: a partition that always fails must not keep others from being built.

    Args:
        due: for each partition, what made it due, such as the sequence number of a change.
        assets: the first one decides which partitions are in progress or have failed.
        version: what the run key has of what made a window due. Dagster drops requests with a known run key.
        checks: as for `request`.
    """
    latest = latest_attempts(instance, assets[0], {at.strftime(KEY[unit]) for at in due})
    now = utc_now()
    by_number: dict[int, list[datetime]] = {}
    for at in due:
        last = latest.get(at.strftime(KEY[unit]))
        if last is None:
            by_number.setdefault(1, []).append(at)
        elif last.next_at is not None and last.next_at <= now:
            by_number.setdefault(last.number + 1, []).append(at)
    found = []
    for number, moments in sorted(by_number.items()):
        for window in stretches(moments, unit, number):
            reason = version([value for moment, value in due.items() if window.start <= moment < window.end])
            found.append(
                request(
                    window,
                    unit,
                    assets,
                    run_key=f"{prefix}:{_key(window, unit)}:{reason}{f':{number}' if number > 1 else ''}",
                    tags={**(tags or {}), ATTEMPT_TAG: str(number)},
                    checks=checks,
                )
            )
    return found[:RUNS_A_TICK]


def stretches(due: Iterable[datetime], unit: str, attempt: int = 1) -> list[Window]:
    """The due partitions of one tick as windows: the newest hours, so that live data don't wait for history, and the oldest days,
    because a day affects who is new on later days.

    Consecutive partitions form one window. If there are still too many windows of hours, gaps are bridged: an hour that isn't stale
    costs an incremental run almost nothing, while a separate run costs a process.

    Args:
        attempt: with each attempt after the first, windows have at most a quarter of the partitions, and gaps are not bridged.
    """
    longest = max(1, LONGEST_RUN[unit] >> 2 * (attempt - 1))
    windows = contiguous(due, STEP[unit], longest)
    if unit == "hour" and len(windows) > RUNS_A_TICK and attempt == 1:
        bridged = windows[:1]
        for window in windows[1:]:
            if window.end - bridged[-1].start <= longest * STEP[unit]:
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
    return dg.RunRequest(**common, tags={**(tags or {}), **span_tags(first, last)})


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
