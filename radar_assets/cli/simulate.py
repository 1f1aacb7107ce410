"""`radar simulate`: writes synthetic traffic to the landing zone, and adds its projects to the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import counted, out, progress_bars, radar_command
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.settings import Settings

PREFIX = "simulated-"
"""Prefix of the names of simulated segments."""


@dataclass(frozen=True)
class Traffic:
    """The arguments of the simulator, which determine the traffic completely."""

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
    """Write synthetic traffic to the landing zone. Running it again with the same arguments adds nothing.

    Parameters
    ----------
    days
        Number of days.
    projects
        Number of projects. They are added to the store.
    events
        Approximate number of events in total.
    seed
        Random seed. Each seed gives different traffic.
    start
        First day (UTC), e.g. 2026-10-01. Default: the days before today.
    """
    from radar_assets.settings import load_settings

    traffic = Traffic(start or utc_now().date() - timedelta(days=days), days, projects, events, seed)
    settings = load_settings().prepare()
    written, lines = land(settings, [traffic])
    console = out()
    console.print(
        f"Wrote {counted(written, 'new segment')} with {counted(lines, 'line')} to {settings.landing_zone}",
        markup=False,
    )
    radar = radar_command()
    console.print(f"Next: {radar} dev loads them; {radar} status shows the progress.", markup=False)


def land(settings: "Settings", plan: list[Traffic]) -> tuple[int, int]:
    """Write simulated traffic to the landing zone, with a progress bar. Existing segments are kept.

    Returns:
        The number of segments and lines written.

    Raises:
        ValueError: an argument is out of range, or the traffic starts before RADAR_START_DATE.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from radar_assets.access.projects import ensure_projects
    from radar_assets.events.landing import list_segments, write_segment
    from radar_assets.simulator.projects import simulated_projects
    from radar_assets.simulator.traffic import simulate as simulated
    from radar_assets.store.database import open_store
    from radar_assets.store.first_day import begin_by
    from radar_assets.store.models import Project

    for traffic in plan:
        if traffic.start < settings.start_date:
            raise ValueError(
                f"the traffic starts on {traffic.start}, before RADAR_START_DATE={settings.start_date}; change one of them"
            )
    segments = lines = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with progress_bars(*columns) as progress:
        task = progress.add_task("simulate traffic", total=sum(traffic.days for traffic in plan))
        done = 0
        store = open_store(settings.database)
        for traffic in plan:
            products = simulated_projects(traffic.projects)
            for id in ensure_projects(store, (Project(each.id, each.name, each.timezone) for each in products)):
                audit(store, "project.add", id, project_id=id, by="the simulator")
            begin_by(store, traffic.start)
            for segment in simulated(
                traffic.start, traffic.days, projects=traffic.projects, events=traffic.events, seed=traffic.seed
            ):
                progress.start()
                if segment.name not in {present.name for present in list_segments(settings.landing_zone, segment.hour)}:
                    write_segment(settings.landing_zone, segment.hour, segment.name, [segment.lines], "zst")
                    segments, lines = segments + 1, lines + segment.lines.count(b"\n")
                progress.update(task, completed=done + (segment.hour.date() - traffic.start).days)
            done += traffic.days
        progress.update(task, completed=done)
    if segments:
        audit(store, "simulate", str(settings.landing_zone), segments=segments, lines=lines)
    return segments, lines


def simulated_names(settings: "Settings") -> Iterator[tuple[date, str]]:
    """Day and name of each simulated segment in the landing zone."""
    from radar_assets.events.landing import list_hours, list_segments

    for hour in list_hours(settings.landing_zone):
        for segment in list_segments(settings.landing_zone, hour):
            if segment.name.startswith(PREFIX):
                yield hour.date(), segment.name
