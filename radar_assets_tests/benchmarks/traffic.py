"""What benchmarks run on: simulated events of about 600 bytes in a landing zone, and homes that know their projects."""

import os
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from radar_assets.events.landing import write_segment
from radar_assets.settings import Settings, load_settings
from radar_assets.simulator.projects import simulated_projects
from radar_assets.simulator.traffic import simulate

DAY = date(2026, 3, 2)
EVENT_BYTES = 600


class Landed(NamedTuple):
    """What is in a landing zone."""

    lines: int
    size_bytes: int


def land(landing: Path, start: date, days: int, *, projects: int, events: int) -> Landed:
    """Simulated traffic in a landing zone, as plain NDJSON."""
    lines = size = 0
    for segment in simulate(start, days, projects=projects, events=events, event_bytes=EVENT_BYTES):
        write_segment(landing, segment.hour, segment.name, [segment.lines])
        lines += segment.lines.count(b"\n")
        size += len(segment.lines)
    return Landed(lines, size)


def write_file(file: Path, start: date, *, days: int, events: int) -> int:
    """Simulated traffic in one NDJSON file; how many lines it has."""
    lines = 0
    with file.open("wb") as target:
        for segment in simulate(start, days, projects=3, events=events, event_bytes=EVENT_BYTES, malformed_share=0):
            target.write(segment.lines)
            lines += segment.lines.count(b"\n")
    return lines


def hours_of_lines(start: date, lines: int, hours: int) -> Iterator[tuple[datetime, bytes]]:
    """Received hours one after the other, each with its first `lines` simulated lines."""
    segments: dict[datetime, list[bytes]] = {}
    days = -(-hours // 24)
    for segment in simulate(start, days + 1, projects=3, events=60 * lines * (days + 1), event_bytes=EVENT_BYTES):
        segments.setdefault(segment.hour, []).append(segment.lines)
    full = {hour: b"".join(parts).splitlines(keepends=True) for hour, parts in segments.items()}
    yield from islice(((hour, b"".join(all_[:lines])) for hour, all_ in full.items() if len(all_) >= lines), hours)


def environment_of(home: Path, landing: Path, **settings: object) -> dict[str, str]:
    """The variables that put a process to work in a home."""
    variables = {"home": home, "landing_url": f"file://{landing}", **settings}
    return {f"RADAR_{name.upper()}": str(value) for name, value in variables.items()}


def prepare_home(environment: dict[str, str], projects: int) -> Settings:
    """A home as it is after its first start, with the simulator's projects in it; from then on it is that of this process."""
    from radar_assets.orchestration.runtime.instance import prepare_instance
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    os.environ.update(environment)
    settings = load_settings().prepare()
    os.environ["DAGSTER_HOME"] = str(prepare_instance(settings))
    store = open_store(settings.database)
    store.ensure_projects(Project(one.id, one.name, one.timezone) for one in simulated_projects(projects))
    store.begin_by(settings.start_date)
    store.close()
    return settings
