"""The cost of history: the same new hours and late events, on homes with almost no history and with sixty days."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg

from radar_assets.events.landing import write_segment
from radar_assets.orchestration.automation import INCREMENTAL
from radar_assets.simulator.traffic import SimulatedSegment, simulate
from radar_assets.windows import DAY, HOUR, Window, day_key
from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure, measure
from radar_assets_tests.platform import Platform

EVENTS_A_DAY = 24_000
HISTORY_DAYS = 60
PROJECTS = 3
SAMPLES = 6
MAX_TIMES = 1.2


def run(folder: Path, scale: float) -> list[Figure]:
    """Seconds from landed to rebuilt, each time on both homes, one after the other."""
    days, samples = max(4, round(HISTORY_DAYS * scale)), max(1, round(SAMPLES * scale))
    new_day = Window.of_day(traffic.DAY + timedelta(days=days))
    old_day = Window.of_day(traffic.DAY + timedelta(days=days // 2))
    first_new = new_day.start + 8 * HOUR
    past: list[SimulatedSegment] = []
    coming: dict[datetime, list[SimulatedSegment]] = {}
    events = round(EVENTS_A_DAY * min(1, 10 * scale)) * (days + 1)
    for segment in simulate(traffic.DAY, days + 1, projects=PROJECTS, events=events):
        if segment.hour < first_new:
            past.append(segment)
        else:
            coming.setdefault(segment.hour, []).append(segment)
    # Includes the days around it, which determine where its visits begin and end.
    near_old_day = [segment for segment in past if old_day.widen(3 * DAY).overlaps(Window.of_hour(segment.hour))]
    # The first round of each is slower, since the caches are empty.
    new_hours = sorted(coming.items())[: samples + 1]
    received = new_hours[-1][0] + HOUR
    late = _late_lines(near_old_day, old_day, received, samples + 1)
    with _home(folder / "with", past) as grown:
        with _home(folder / "without", []) as empty:
            hour_times = [
                _both(grown, empty, number, lambda home, new=new: _hour_s(home, new))
                for number, (_, new) in enumerate(new_hours)
            ]
        with _home(folder / "alone", near_old_day) as alone:
            late_times = [
                _both(grown, alone, number, lambda home, one=one: _late_s(home, received, one, old_day))
                for number, one in enumerate(late)
            ]
    hour, empty_hour = (median(times) for times in zip(*hour_times[1:], strict=True))
    again, alone_again = (median(times) for times in zip(*late_times[1:], strict=True))
    return [
        Figure("growth", f"a new hour on {days} days of history", hour, "s", empty_hour, max_times=MAX_TIMES),
        Figure("growth", f"a late event's hour and day in {days} days", again, "s", alone_again, max_times=MAX_TIMES),
    ]


def _late_lines(
    segments: Iterable[SimulatedSegment], day: Window, received: datetime, count: int
) -> list[dict[str, object]]:
    """Late events of visitors of a day."""
    noon = day.start + 12 * HOUR
    now = f"{received.isoformat()}Z"
    events = [json.loads(line) for segment in segments if segment.hour == noon for line in segment.lines.splitlines()]
    on_time = [event for event in events if event["timestamp"].startswith(f"{noon:%Y-%m-%dT%H}")]
    return [
        {**event, "event_id": f"late-{number}", "sent_at": now, "received_at": now}
        for number, event in enumerate(on_time[:count])
    ]


def _both(grown: Platform, other: Platform, number: int, take: Callable[[Platform], float]) -> tuple[float, float]:
    """Seconds on both homes, which take turns in going first."""
    if number % 2:
        first = take(grown)
        return first, take(other)
    first = take(other)
    return take(grown), first


def _hour_s(home: Platform, segments: Iterable[SimulatedSegment]) -> float:
    """Seconds to load new segments, from the sensors' ticks to the last rebuilt hour."""
    for segment in segments:
        write_segment(home.settings.landing, segment.hour, segment.name, [segment.lines])
    return _settled_s(home)


def _late_s(home: Platform, received: datetime, late: dict[str, object], day: Window) -> float:
    """Seconds to load a late event and rebuild its day."""
    home.land(received, [late], str(late["event_id"]))
    hours_s = _settled_s(home)
    began = time.monotonic()
    # As the sensor requests it, which waits between two rebuilds of a day.
    home.rebuild("daily_job", day_key(day.start), day_key(day.start), tags=INCREMENTAL)
    return hours_s + time.monotonic() - began


def _settled_s(home: Platform) -> float:
    began = time.monotonic()
    for sensor in ("landing_sensor", "stale_hours_sensor"):
        for request in home.tick(sensor):
            home.execute("hourly_job", request)
    return time.monotonic() - began


@contextmanager
def _home(folder: Path, past: Iterable[SimulatedSegment]) -> Iterator[Platform]:
    """A home with tables and Dagster's records of its history."""
    settings = traffic.prepare_home(traffic.environment_of(folder, folder / "landing", threads=2), PROJECTS)
    for segment in past:
        write_segment(settings.landing, segment.hour, segment.name, [segment.lines])
    # In its own process, because the memory that it leaves allocated would slow this one down.
    measure("history", environment={}, log=folder / "history.log")
    with dg.DagsterInstance.get() as instance:
        home = Platform(settings, instance)
        _settled_s(home)
        # As a quarter of an hour later: until then, the sensor checks new segments again, which here is the whole history.
        home.cursors["landing_sensor"] = str(time.time_ns())
        yield home
