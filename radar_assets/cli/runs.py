"""Runs the graph in this process, for commands that can't wait for the daemon. Due partitions share runs where they are close."""

import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from radar_assets.cli.terminal import err, is_terminal, progress_bars, radar_command
from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.staleness import unbuilt
from radar_assets.orchestration.automation import DAILY_JOB, HOURLY_JOB, INCREMENTAL, grid_tables
from radar_assets.orchestration.run_requests import KEY, LONGEST_RUN
from radar_assets.windows import Window, contiguous, utc_now

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, EventLogEntry, JobDefinition
    from rich.progress import Progress

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.table import Table, Transform
    from radar_assets.settings import Settings

MAX_ROUNDS = 5
"""A round can leave partitions stale, e.g. if late lines belong to hours outside its window, but each leaves fewer."""


class RunFailedError(Exception):
    """A run of the graph failed."""


def catch_up(settings: "Settings", lakehouse: "Lakehouse") -> int:
    """Load what has landed and rebuild what is stale, through Dagster and with a progress bar.

    Returns:
        The number of materialized partitions.

    Raises:
        RunFailedError: a run failed; Dagster's UI has its log.
    """
    from dagster import DagsterInstance

    from radar_assets.definitions import build_defs
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.store.database import open_store
    from radar_assets.store.first_day import begin_by, first_day

    store = open_store(settings.database)
    start, definitions = first_day(settings), build_defs(settings)
    materialized = 0
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance, _progress() as progress:
        grids: tuple[tuple[str, Transform, Callable[[Lakehouse], list[Window]]], ...]
        grids = ((HOURLY_JOB, "hour", due_hours), (DAILY_JOB, "day", due_days))
        for job, grid, due in grids:
            assets = [table.name for table in grid_tables(lakehouse.tables, grid)]
            for _ in range(MAX_ROUNDS):
                windows = due(lakehouse)
                if not windows:
                    break
                # What has landed may be older than the first partition, and events may be older than that.
                begin_by(store, windows[0].start.date())
                if (moved := first_day(settings)) != start:
                    definitions, start = build_defs(settings), moved
                for window in windows:
                    progress.start()
                    bars = _Bars(progress, assets, (window.end - window.start) // STEP[grid], grid)
                    _run(definitions.resolve_job_def(job), instance, window, grid, bars, INCREMENTAL)
                    materialized += bars.materialized
    return materialized


def rebuild(settings: "Settings", table: "Table", starts: "Sequence[datetime]") -> None:
    """Rebuild partitions of one table with its checks, through Dagster, oldest first and with a progress bar.

    Args:
        starts: starts of the hours or days.

    Raises:
        RunFailedError: a run failed; Dagster's UI has its log.
    """
    from dagster import AssetKey, DagsterInstance

    from radar_assets.definitions import build_defs
    from radar_assets.orchestration.runtime.instance import prepare_instance

    if not starts:
        return
    job = build_defs(settings).resolve_job_def(HOURLY_JOB if table.grid == "hour" else DAILY_JOB)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance, _progress() as progress:
        progress.start()
        bars = _Bars(progress, [table.name], len(starts), table.grid)
        for window in contiguous(starts, STEP[table.grid], LONGEST_RUN[table.grid]):
            _run(job, instance, window, table.grid, bars, {}, [AssetKey(table.name)])


def _progress() -> "AbstractContextManager[Progress]":
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    return progress_bars(TextColumn("{task.description:17}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def due_hours(lakehouse: "Lakehouse") -> list[Window]:
    """Windows of hours that are stale or have segments to load."""
    from radar_assets.events.landing import list_hours
    from radar_assets.events.loading import missing_segments

    raw = lakehouse.snapshot("raw_events")
    landed = _on_grid(lakehouse, list_hours(lakehouse.settings.landing_zone))
    due = {segment.received_hour for segment in missing_segments(lakehouse, raw, landed)}
    return _spans(_on_grid(lakehouse, due | _stale(lakehouse, "hour")), "hour")


def due_days(lakehouse: "Lakehouse") -> list[Window]:
    """Windows of stale days."""
    return _spans(_on_grid(lakehouse, _stale(lakehouse, "day")), "day")


def _stale(lakehouse: "Lakehouse", grid: "Transform") -> set[datetime]:
    """Starts of the stale and missing partitions of a grid's derived tables."""
    start = datetime(*lakehouse.settings.start_date.timetuple()[:3])
    return {
        from_unit(unit, grid)
        for table in lakehouse.tables.derived(grid)
        for unit in unbuilt(lakehouse.snapshot(table.inputs[0].name), lakehouse.snapshot(table.name), start)
    }


def _on_grid(lakehouse: "Lakehouse", moments: Iterable[datetime]) -> list[datetime]:
    first, now = datetime(*lakehouse.settings.start_date.timetuple()[:3]), utc_now()
    return sorted(moment for moment in moments if first <= moment <= now)


def _spans(moments: list[datetime], unit: str) -> list[Window]:
    """Windows of due hours or days. Hours less than a day apart are joined, because a run costs more than rebuilding the gap."""
    spans: list[Window] = []
    for window in contiguous(moments, STEP[unit], len(moments)):
        if unit == "hour" and spans and window.start - spans[-1].end < STEP["day"]:
            spans[-1] = Window(spans[-1].start, window.end)
        else:
            spans.append(window)
    return spans


class _Bars:
    """The progress of a run: a bar for its plan, which Dagster records first, and for each asset; without a terminal, a line."""

    def __init__(self, progress: "Progress", assets: "Sequence[str]", partitions: int, grid: "Transform") -> None:
        self.materialized = 0
        self._progress, self._partitions = progress, f"{partitions:,} {grid}{'' if partitions == 1 else 's'}"
        self._say(f"plan {grid}s")
        self._plan = progress.add_task(f"plan {grid}s", total=partitions * len(assets))
        self._assets = {asset: progress.add_task(asset, total=partitions, start=False) for asset in assets}

    def follow(self, entry: "EventLogEntry") -> None:
        """Advance the bars for an event of the run."""
        from dagster import DagsterEventType

        event = entry.dagster_event
        if event is None:
            return
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            self._progress.advance(self._plan)
        elif event.event_type == DagsterEventType.STEP_START and event.step_key in self._assets:
            self._say(event.step_key)
            self._progress.start_task(self._assets[event.step_key])
        elif event.event_type == DagsterEventType.STEP_SUCCESS and event.step_key in self._assets:
            self._progress.stop_task(self._assets[event.step_key])
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
            self._progress.advance(self._assets[event.asset_key.to_user_string()])
            self.materialized += 1

    def _say(self, step: str) -> None:
        if not is_terminal(sys.stderr):
            err().print(f"{step}: {self._partitions} ...")


def _run(
    job: "JobDefinition",
    instance: "DagsterInstance",
    window: Window,
    unit: str,
    bars: _Bars,
    tags: Mapping[str, str],
    assets: "Sequence[AssetKey] | None" = None,
) -> None:
    """Run a job over a window.

    Args:
        assets: those to run; all of the job if None.

    Raises:
        RunFailedError: the run failed.
    """
    first, last = (moment.strftime(KEY[unit]) for moment in (window.start, window.end - STEP[unit]))
    span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    run_id = str(uuid.uuid4())
    instance.add_event_listener(run_id, bars.follow)
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        tags={**tags, **span},
        asset_selection=assets,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    if not result.success:
        failed = next(event for event in result.all_events if event.is_failure)
        error = getattr(failed.event_specific_data, "error", None)
        while error and error.cause:
            error = error.cause
        reason = " ".join((error.message if error else failed.message or "").split())
        raise RunFailedError(
            f"{failed.step_key or 'the run'} failed: {reason} (run {run_id}; {radar_command()} dev shows its log)"
        )
