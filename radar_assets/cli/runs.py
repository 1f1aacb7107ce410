"""Runs the graph in this process, for commands that can't wait for the daemon: oldest days first, in runs over many partitions."""

import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from radar_assets.cli.terminal import age, counted, err, is_terminal, progress_bars, radar_command
from radar_assets.lakehouse.files import STEP, from_unit
from radar_assets.lakehouse.staleness import MISSING_AFTER, missing_days, stale
from radar_assets.orchestration.automation import DAILY_JOB, HOURLY_JOB, INCREMENTAL, grid_tables
from radar_assets.orchestration.run_requests import KEY, LONGEST_RUN
from radar_assets.orchestration.run_tags import span_tags
from radar_assets.windows import DAY, HOUR, Window, contiguous, day_key, utc_now

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, EventLogEntry, JobDefinition
    from rich.progress import Progress

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.table import Table, Transform
    from radar_assets.settings import Settings

MAX_ROUNDS = 5
"""A round can leave partitions stale, e.g. if late lines belong to hours outside its window, but each leaves fewer."""
DAYS_A_BATCH = LONGEST_RUN["day"]
"""Days whose hours are built before the days themselves. A run takes seconds, whatever its size; more days would appear later."""


class RunFailedError(Exception):
    """A run of the graph failed."""


def catch_up(settings: "Settings", lakehouse: "Lakehouse", received: "Sequence[datetime] | None" = None) -> int:
    """Load what has landed and rebuild what is stale, through Dagster, with progress and time left.

    The oldest days are built first, each after the hours of the next day, because visits go on over midnight. So a day is right once
    it appears. Whatever ends the process, another call goes on where this one ended.

    Args:
        received: the received hours to load. Default: all that have landed.

    Returns:
        The number of materialized partitions.

    Raises:
        RunFailedError: a run failed; Dagster's UI has its log.
    """
    from dagster import DagsterInstance

    from radar_assets.orchestration.runtime.instance import prepare_instance

    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance, _progress() as progress:
        builder = _Builder(settings, lakehouse, instance, progress)
        for _ in range(MAX_ROUNDS):
            hours = due_hours(lakehouse, received)
            days = builder.due_days()
            if not hours and not days:
                break
            builder.announce(hours, days)
            batches = _batches([*hours, *days])
            for batch in batches:
                builder.build_hours(batch, hours)
                # The last day waits for the hours of the next one, which are in the next batch.
                builder.build_days(batch.end if batch is batches[-1] else batch.end - DAY)
    return progress.done


class _Builder:
    """Builds batches of days."""

    def __init__(
        self, settings: "Settings", lakehouse: "Lakehouse", instance: "DagsterInstance", progress: "_Progress"
    ) -> None:
        from radar_assets.store.database import open_store

        self._settings, self._lakehouse, self._instance, self._progress = settings, lakehouse, instance, progress
        self._store = open_store(settings.database)
        self._tables = {"hour": grid_tables(lakehouse.tables, "hour"), "day": grid_tables(lakehouse.tables, "day")}
        self._seen: set[datetime] = set()

    def announce(self, hours: "Sequence[datetime]", days: "Sequence[datetime]") -> None:
        """Tell the progress what a round is about to build, as far as it is known."""
        calendar, windows = self._lakehouse.calendar(), contiguous(hours, HOUR, len(hours))
        all_days = {*(day.date() for day in days), *(day for window in windows for day in calendar.days(window))}
        self._progress.expect(len(hours) * len(self._tables["hour"]) + len(all_days) * len(self._tables["day"]))

    def build_hours(self, batch: Window, due: "Sequence[datetime]") -> None:
        """Build the due hours of a batch, and those that they make stale."""
        from radar_assets.definitions import build_defs

        for _ in range(MAX_ROUNDS):
            hours = [hour for hour in due if batch.start <= hour < batch.end]
            if not hours:
                break
            # Runs are over a range; without the hours between, Dagster would record as many events for each of them.
            self._begin_by(hours[0])
            job = build_defs(self._settings, hours).resolve_job_def(HOURLY_JOB)
            _run(
                job, self._instance, Window(hours[0], hours[-1] + HOUR), len(hours), "hour", self._progress, INCREMENTAL
            )
            due = _stale(self._lakehouse, "hour")

    def build_days(self, before: datetime) -> None:
        """Build the due days before a day."""
        from radar_assets.definitions import build_defs

        for _ in range(MAX_ROUNDS):
            days = [day for day in self.due_days() if day < before]
            if not days:
                break
            job = build_defs(self._settings).resolve_job_def(DAILY_JOB)
            for window in contiguous(days, DAY, LONGEST_RUN["day"]):
                _run(
                    job, self._instance, window, (window.end - window.start) // DAY, "day", self._progress, INCREMENTAL
                )

    def due_days(self) -> list[datetime]:
        """The stale days, and those without events between days that have been stale, in order.

        Later ones up to today, of which old history has thousands, are left to the sensor over stale days.
        """
        due = _stale(self._lakehouse, "day")
        self._seen |= {*due}
        if not self._seen:
            return []
        ended = self._lakehouse.calendar().last_ended(utc_now() - MISSING_AFTER)
        first, last = min(self._seen).date(), min(max(self._seen).date(), ended)
        missing = {
            from_unit(unit, "day")
            for table in self._lakehouse.tables.derived("day")
            for unit in missing_days(self._lakehouse.snapshot(table.name), first, last)
        }
        return sorted({*due, *missing})

    def _begin_by(self, moment: datetime) -> None:
        """Move the first partition back: what has landed may be older, and events may be older than that."""
        from radar_assets.store.first_day import begin_by

        begin_by(self._store, moment.date())


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
        progress.expect(len(starts))
        for window in contiguous(starts, STEP[table.grid], LONGEST_RUN[table.grid]):
            partitions = (window.end - window.start) // STEP[table.grid]
            _run(job, instance, window, partitions, table.grid, progress, {}, [AssetKey(table.name)])


def due_hours(lakehouse: "Lakehouse", received: "Sequence[datetime] | None" = None) -> list[datetime]:
    """The hours that are stale or have segments to load, in order.

    Args:
        received: the received hours to look at. Default: all that have landed.
    """
    from radar_assets.events.landing import list_hours
    from radar_assets.events.loading import missing_segments

    landed = _on_grid(lakehouse, list_hours(lakehouse.settings.landing_zone) if received is None else received)
    missing = missing_segments(lakehouse, lakehouse.snapshot("raw_events"), landed)
    return sorted({segment.received_hour for segment in missing}.union(_stale(lakehouse, "hour")))


def _stale(lakehouse: "Lakehouse", grid: "Transform") -> list[datetime]:
    """Starts of the stale partitions of a grid's derived tables, in order."""
    calendar = lakehouse.calendar()
    units = {
        unit
        for table in lakehouse.tables.derived(grid)
        for unit in stale(lakehouse.snapshot(table.inputs[0].name), lakehouse.snapshot(table.name), calendar)
    }
    if grid == "hour":
        return _on_grid(lakehouse, (from_unit(unit, grid) for unit in units))
    last = calendar.last_begun(utc_now())
    return sorted(at for unit in units if (at := from_unit(unit, grid)).date() <= last)


def _on_grid(lakehouse: "Lakehouse", hours: Iterable[datetime]) -> list[datetime]:
    first, now = datetime(*lakehouse.settings.start_date.timetuple()[:3]), utc_now()
    return sorted(hour for hour in hours if first <= hour <= now)


def _batches(moments: Iterable[datetime]) -> list[Window]:
    """Windows of up to `DAYS_A_BATCH` days that contain all of the moments, in order."""
    batches: list[Window] = []
    for moment in sorted(moments):
        if not batches or moment >= batches[-1].end:
            start = Window.of_day(moment.date()).start
            batches.append(Window(start, start + DAYS_A_BATCH * DAY))
    return batches


class _Progress:
    """Shows how much of the work is done and about how long the rest takes: as a bar, or as lines if there is no terminal."""

    def __init__(self, bars: "Progress") -> None:
        self.done = 0
        self._bars, self._total, self._began = bars, 0, time.monotonic()
        self._task = bars.add_task("build", total=None, state="")

    def expect(self, materializations: int) -> None:
        """Add to what is to be done."""
        self._total = self.done + materializations
        self._bars.start()

    def begin(self, window: Window, partitions: int, unit: str) -> None:
        """Show what a run builds."""
        first, last = day_key(window.start.date()), day_key((window.end - HOUR).date())
        what = f"{first if first == last else f'{first} to {last}'}: {counted(partitions, unit)}"
        self._bars.update(self._task, description=what, total=self._total, state=self._state())
        if not is_terminal(sys.stderr):
            err().print(f"{what} ... ({self._state()})", markup=False)

    def follow(self, entry: "EventLogEntry") -> None:
        """Count a materialization, if the event of a run is one."""
        from dagster import DagsterEventType

        event = entry.dagster_event
        if event and event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            self.done += 1
            self._total = max(self._total, self.done)
            self._bars.update(self._task, completed=self.done, total=self._total, state=self._state())

    def _state(self) -> str:
        """The share that is done, and the time left."""
        elapsed = time.monotonic() - self._began
        if not self.done:
            return f"{counted(self._total, 'partition')} to build"
        left = timedelta(seconds=elapsed / self.done * (self._total - self.done))
        return f"{self.done:,} of {counted(self._total, 'partition')}, about {age(left)} left"


@contextmanager
def _progress() -> "Iterator[_Progress]":
    from rich.progress import BarColumn, TextColumn

    with progress_bars(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")) as bars:
        yield _Progress(bars)


def _run(
    job: "JobDefinition",
    instance: "DagsterInstance",
    window: Window,
    partitions: int,
    unit: str,
    progress: _Progress,
    tags: Mapping[str, str],
    assets: "Sequence[AssetKey] | None" = None,
) -> None:
    """Run a job over a window.

    Args:
        partitions: how many of the window the job has.
        assets: those to run; all of the job if None.

    Raises:
        RunFailedError: the run failed.
    """
    from radar_assets.orchestration.runtime.launcher import worker_tag

    first, last = (moment.strftime(KEY[unit]) for moment in (window.start, window.end - STEP[unit]))
    span = span_tags(first, last)
    run_id = str(uuid.uuid4())
    progress.begin(window, partitions, unit)
    instance.add_event_listener(run_id, progress.follow)
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        # If this process is killed, the daemon sees that it is gone and ends the run.
        tags={**tags, **span, **worker_tag(run_id)},
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
