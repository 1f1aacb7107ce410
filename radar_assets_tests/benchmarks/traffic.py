"""Input of benchmarks: simulated events of about 600 bytes in a landing zone, and homes with their projects."""

import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from radar_assets.access.projects import ensure_projects
from radar_assets.events.landing import write_segment
from radar_assets.settings import Settings, load_settings
from radar_assets.simulator.projects import simulated_projects
from radar_assets.simulator.traffic import simulate
from radar_assets.store.first_day import begin_by

DAY = date(2026, 3, 2)
EVENT_BYTES = 600


class Landed(NamedTuple):
    """The content of a landing zone."""

    lines: int
    size_bytes: int


def land(landing: Path, start: date, days: int, *, projects: int, events: int) -> Landed:
    """Write simulated traffic to a landing zone, as plain NDJSON."""
    lines = size = 0
    for segment in simulate(start, days, projects=projects, events=events, event_bytes=EVENT_BYTES):
        write_segment(landing, segment.hour, segment.name, [segment.lines])
        lines += segment.lines.count(b"\n")
        size += len(segment.lines)
    return Landed(lines, size)


def write_file(file: Path, start: date, *, days: int, events: int) -> int:
    """Write simulated traffic to one NDJSON file. Returns the number of lines."""
    lines = 0
    with file.open("wb") as target:
        for segment in simulate(start, days, projects=3, events=events, event_bytes=EVENT_BYTES, malformed_share=0):
            target.write(segment.lines)
            lines += segment.lines.count(b"\n")
    return lines


def hours_of_lines(start: date, lines: int, hours: int) -> Iterator[tuple[datetime, bytes]]:
    """Consecutive received hours, each with its first `lines` simulated lines."""
    segments: dict[datetime, list[bytes]] = {}
    days = -(-hours // 24)
    for segment in simulate(start, days + 1, projects=3, events=60 * lines * (days + 1), event_bytes=EVENT_BYTES):
        segments.setdefault(segment.hour, []).append(segment.lines)
    full = {hour: b"".join(parts).splitlines(keepends=True) for hour, parts in segments.items()}
    yield from islice(((hour, b"".join(all_[:lines])) for hour, all_ in full.items() if len(all_) >= lines), hours)


def environment_of(home: Path, landing: Path, **settings: object) -> dict[str, str]:
    """Environment variables for a process that uses a home."""
    variables = {"home": home, "landing_url": f"file://{landing}", **settings}
    return {f"RADAR_{name.upper()}": str(value) for name, value in variables.items()}


def prepare_home(environment: dict[str, str], projects: int, zones: Sequence[str] = ("UTC",)) -> Settings:
    """Prepare a home as after its first start, and make it the home of this process.

    Args:
        projects: how many of the simulator's projects it has.
        zones: their time zones in turn, whatever zones the simulated people live in.
    """
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    os.environ.update(environment)
    settings = load_settings().prepare()
    os.environ["DAGSTER_HOME"] = str(prepare_instance(settings))
    store = open_store(settings.database)
    named = zip(simulated_projects(projects), cycle(zones), strict=False)
    ensure_projects(store, (Project(one.id, one.name, zone) for one, zone in named))
    begin_by(store, settings.start_date)
    store.close()
    return settings
