"""`radar simulate`: synthetic traffic in the landing zone, and its projects in the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from radar_assets.cli.terminal import err, out
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.settings import Settings

PREFIX = "simulated-"
"""Start of the names of simulated segments."""


@dataclass(frozen=True)
class Traffic:
    """What to simulate: the arguments of the simulator, which the same traffic comes from again."""

    start: date
    days: int
    projects: int
    events: int
    seed: int

    @property
    def end(self) -> date:
        """The day after the last one."""
        return self.start + timedelta(days=self.days)


def simulate(
    *, days: int = 30, projects: int = 3, events: int = 500_000, seed: int = 0, start: date | None = None
) -> None:
    """Write synthetic traffic to the landing zone; the same arguments write the same segments, once.

    Parameters
    ----------
    days
        Number of days.
    projects
        Number of projects; they are added to the store.
    events
        About how many events in all.
    seed
        Another seed gives other traffic.
    start
        First day (UTC), such as 2026-10-01. By default the days are those before today.
    """
    from radar_assets.settings import load_settings

    traffic = Traffic(start or utc_now().date() - timedelta(days=days), days, projects, events, seed)
    settings = load_settings().prepare()
    written, lines = land(settings, [traffic])
    console = out()
    console.print(f"{written:,} new segments with {lines:,} lines are in {settings.landing_zone}", markup=False)
    console.print("Next: radar dev loads them; radar status shows how far that has come.", markup=False)


def land(settings: "Settings", plan: list[Traffic]) -> tuple[int, int]:
    """Simulate traffic into the landing zone, with a progress bar; segments that are there already stay as they are.

    Returns:
        Segments and lines written.

    Raises:
        ValueError: an argument is out of range, or the traffic begins before the platform does.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from radar_assets.events.landing import list_segments, write_segment
    from radar_assets.simulator.projects import simulated_projects
    from radar_assets.simulator.traffic import simulate as simulated
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    for traffic in plan:
        if traffic.start < settings.start_date:
            raise ValueError(
                f"the traffic begins on {traffic.start}, before RADAR_START_DATE={settings.start_date}; move either"
            )
    segments = lines = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err()) as progress:
        task = progress.add_task("simulate traffic", total=sum(traffic.days for traffic in plan))
        done = 0
        for traffic in plan:
            cast = simulated_projects(traffic.projects)
            open_store(settings.database).ensure_projects(Project(one.id, one.name, one.timezone) for one in cast)
            for segment in simulated(
                traffic.start, traffic.days, projects=traffic.projects, events=traffic.events, seed=traffic.seed
            ):
                if segment.name not in {present.name for present in list_segments(settings.landing_zone, segment.hour)}:
                    write_segment(settings.landing_zone, segment.hour, segment.name, [segment.lines], "zst")
                    segments, lines = segments + 1, lines + segment.lines.count(b"\n")
                progress.update(task, completed=done + (segment.hour.date() - traffic.start).days)
            done += traffic.days
        progress.update(task, completed=done)
    return segments, lines


def simulated_names(settings: "Settings") -> Iterator[tuple[date, str]]:
    """Day and name of each simulated segment in the landing zone."""
    from radar_assets.events.landing import list_hours, list_segments

    for hour in list_hours(settings.landing_zone):
        for segment in list_segments(settings.landing_zone, hour):
            if segment.name.startswith(PREFIX):
                yield hour.date(), segment.name
