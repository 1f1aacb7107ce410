"""A day of projects in six time zones, from events to daily tables, against the same with all projects in UTC."""

from datetime import timedelta
from pathlib import Path
from statistics import median

from radar_assets.windows import HOUR, Window, day_key, hour_key
from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure, measure

EVENTS = 1_200_000
DAYS = 3
"""Of traffic, since a day of several time zones has hours of the days before and after it. The one between them is built."""
PROJECTS = 50
THREADS = 2
ROUNDS = 3
MAX_TIMES = 1.8
ZONES = (
    *("Europe/Berlin", "America/New_York", "Asia/Kathmandu"),
    *("Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Honolulu"),
)
TABLES = ("sessions", "daily_metrics", "daily_breakdowns")


def run(folder: Path, scale: float) -> list[Figure]:
    """Medians of the daily tables' steps."""
    landing = folder / "landing"
    traffic.land(landing, traffic.DAY, DAYS, projects=PROJECTS, events=round(EVENTS * scale))
    rounds = [
        [_steps(folder / f"{name}-{number}", landing, zones) for name, zones in (("utc", ("UTC",)), ("zones", ZONES))]
        for number in range(max(1, round(ROUNDS * scale)))
    ]
    found = {table: [median(each[side][table] for each in rounds) for side in range(2)] for table in TABLES}
    floor, seconds = (sum(found[table][side] for table in TABLES) for side in range(2))
    figures = [Figure("local days", "daily tables in six time zones", seconds, "s", floor, max_times=MAX_TIMES)]
    return figures + [Figure("local days", f"step {name}", zones, "s", utc) for name, (utc, zones) in found.items()]


def _steps(home: Path, landing: Path, zones: tuple[str, ...]) -> dict[str, float]:
    environment = traffic.environment_of(home, landing, threads=THREADS)
    traffic.prepare_home(environment, PROJECTS, zones)
    first = Window.of_day(traffic.DAY)
    hours = (hour_key(first.start), hour_key(first.start + DAYS * timedelta(days=1) - HOUR))
    day = day_key(traffic.DAY + timedelta(days=1))
    return measure("product", *hours, day, environment=environment, log=home.with_suffix(".log")).result["steps_s"]
