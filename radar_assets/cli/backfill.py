"""`radar backfill`: rebuilds a range of partitions in the daemon, and shows the progress."""

import sys
import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import age, counted, err, is_confirmed, is_terminal, out, progress_bars, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.orchestration.runtime.backfills import Progress
    from radar_assets.settings import Settings
    from radar_assets.windows import Window

GRIDS = {"hourly_job": "hour", "daily_job": "day", "alerts_job": "hour"}
LOOK_EVERY_S = 1.0
DAEMON_GONE_AFTER = timedelta(minutes=5)
INTERRUPTED = 130


class NotPrunedError(UsageError):
    """`--prune` does not apply."""


def backfill(
    job: Literal["hourly_job", "daily_job", "alerts_job"],
    /,
    *,
    since: date,
    until: date | None = None,
    prune: bool = False,
    detach: bool = False,
    yes: bool = False,
) -> int:
    """Rebuild the partitions of a job over a range of days, and show the progress.

    The daemon rebuilds them, oldest first, in runs of a day of hours or a week of days. A run that fails is retried. Ctrl-C ends the
    display, not the backfill. Hours and days that become stale are rebuilt by the sensors. The exit code is 1 if partitions failed.

    hourly_job skips the hours of each day before the first and after the last one that has lines or events.

    Parameters
    ----------
    job
        What to rebuild: hourly_job from the landing zone to hourly metrics, daily_job sessions and daily tables, alerts_job the table
        of alerts.
    since
        First day, e.g. 2026-10-01. Days of daily_job are those of the projects' time zones, hours of the other jobs those of UTC.
    until
        Last day. Default: today.
    prune
        Delete the lines of segments that are no longer in the landing zone, for good. Without it, they are kept.
    detach
        Exit once the runs are queued.
    yes
        Prune without asking.
    """
    from radar_assets.events.replayed_hours import hours_with_data
    from radar_assets.orchestration.grids import load_grids
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import Window, utc_now

    if prune and job != "hourly_job":
        raise NotPrunedError(f"--prune is for hourly_job, which loads the landing zone, not for {job}")
    settings, now = load_settings().prepare(), utc_now()
    grids, lakehouse = load_grids(settings), open_lakehouse(settings)
    if job == "daily_job":
        first, end = grids.first_day, Window.of_day(lakehouse.calendar().last_begun(now)).end
    else:
        first, end = grids.start_date, now
    window = Window.of_day(max(since, first))
    if until:
        end = min(end, Window.of_day(until).end)
    if window.start >= end:
        raise UsageError(f"no partitions from {since} to {until or now.date()}; the first one is {first}")
    window = Window(window.start, end)
    if prune and not _is_pruning_confirmed(lakehouse, window, yes=yes):
        out().print("Nothing was queued.")
        return 1
    if job == "daily_job":
        starts = [datetime(*day.timetuple()[:3]) for day in window.days()]
    else:
        starts = hours_with_data(lakehouse, window) if job == "hourly_job" else window.hours()
    if not starts:
        out().print(f"No hour from {window.start:%Y-%m-%d} to {until or now.date()} has landed lines or events.")
        return 0
    return run_backfill(settings, job, starts, {"radar/prune": "true"} if prune else {}, detach=detach)


def run_backfill(
    settings: "Settings", job: str, starts: "Sequence[datetime]", tags: "Mapping[str, str]", *, detach: bool
) -> int:
    """Queue a backfill in the daemon and show its progress until it is over. Returns the exit code: 1 if partitions failed.

    Args:
        starts: of the hours or days to build.
        tags: further tags of the runs.
        detach: return once the runs are queued.
    """
    from dagster import DagsterInstance

    from radar_assets.orchestration.runtime.backfills import queue_backfill
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.store.database import open_store
    from radar_assets.windows import utc_now

    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        err().print(f"Queueing {counted(len(starts), 'partition')} of {job} ...")
        id = queue_backfill(instance, "radar_assets.definitions", job, starts, GRIDS[job], tags)
        store = open_store(settings.database)
        audit(
            store,
            "backfill.queue",
            job,
            id=id,
            first=starts[0],
            last=starts[-1],
            partitions=len(starts),
            tags=dict(tags),
        )
        store.close()
        is_running = _daemon_runs(instance, utc_now())
        if not is_running:
            err().print(
                f"The daemon is not running. The backfill starts once it does: {radar_command()} dev.", style="yellow"
            )
        if detach or not is_running:
            out().print(
                f"Queued backfill {id} of {job}, {counted(len(starts), 'partition')}. "
                f"{radar_command()} status shows its progress."
            )
            return 0
        try:
            ended = _follow(instance, id)
        except KeyboardInterrupt:
            err().print(f"The backfill goes on in the daemon. {radar_command()} status shows its progress.")
            return INTERRUPTED
    out().print(f"{job}: {described(ended)}.", markup=False)
    return int(ended.failed > 0)


def described(progress: "Progress") -> str:
    """The progress of a backfill in words."""
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    text = f"{progress.done:,} of {counted(progress.total, 'partition')}{failed}, {age(progress.elapsed)} elapsed"
    if progress.is_over:
        return text
    return f"{text}, {f'about {age(progress.left)}' if progress.left is not None else 'unknown time'} left"


def _follow(instance: "DagsterInstance", id: str) -> "Progress":
    """Show the progress of a backfill until it is over. Without a terminal, print a line whenever it has changed."""
    from rich.progress import BarColumn, TextColumn

    from radar_assets.orchestration.runtime.backfills import progress

    with progress_bars(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")) as bars:
        bars.start()
        task, before = bars.add_task("backfill", total=None, state=""), (-1, -1)
        while True:
            found = progress(instance, id)
            assert found
            bars.update(
                task,
                description=found.job,
                completed=found.done + found.failed,
                total=found.total,
                state=described(found),
            )
            if (found.done, found.failed) != before and not is_terminal(sys.stderr):
                err().print(f"{found.job}: {described(found)}", markup=False)
            before = found.done, found.failed
            if found.is_over:
                return found
            time.sleep(LOOK_EVERY_S)


def _daemon_runs(instance: "DagsterInstance", now: datetime) -> bool:
    last = max((beat.timestamp for beat in instance.get_daemon_heartbeats().values()), default=0.0)
    return now - datetime(1970, 1, 1) - timedelta(seconds=last) < DAEMON_GONE_AFTER


def _is_pruning_confirmed(lakehouse: "Lakehouse", window: "Window", *, yes: bool) -> bool:
    """Warn of what `--prune` deletes, and ask.

    Raises:
        NotConfirmedError: there is no terminal to ask for a confirmation.
    """
    from radar_assets.events.loading import gone_segments

    gone = gone_segments(lakehouse, window)
    if not gone:
        err().print("All loaded segments are in the landing zone; there is nothing to prune.")
        return True
    named = ", ".join(f"{hour:%Y-%m-%d %H:00} {name}" for hour, name in gone[:3])
    more = f" and {len(gone) - 3:,} more" if len(gone) > 3 else ""
    warning = f"--prune deletes the lines of {len(gone):,} loaded segments that are no longer in the landing zone"
    err().print(f"{warning}: {named}{more}. They can't be loaded again.", style="yellow", markup=False)
    return yes or is_confirmed("Delete them?", "nothing was queued; pass --yes to prune without a terminal")
