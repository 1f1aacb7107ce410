"""Days are those of each project, against a recomputation in plain Python."""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from radar_assets.access.time_zones import set_time_zone
from radar_assets.calendar import zone_info
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.staleness import stale
from radar_assets.windows import DAY, HOUR
from radar_assets_tests.platform import Platform, event
from radar_assets_tests.test_properties import land_and_build, load, open_platform, rebuild_stale

ZONES = {
    "kiritimati": "Pacific/Kiritimati",
    "auckland": "Pacific/Auckland",
    "lord-howe": "Australia/Lord_Howe",
    "kathmandu": "Asia/Kathmandu",
    "berlin": "Europe/Berlin",
    "st-johns": "America/St_Johns",
    "honolulu": "Pacific/Honolulu",
    "baker": "Etc/GMT+12",
}
APIA = {"apia": "Pacific/Apia", "honolulu": "Pacific/Honolulu"}
IDLE = timedelta(minutes=30)
DAILY = ("sessions", "daily_metrics", "daily_breakdowns")

Numbers = dict[tuple[str, date, str], float]


def local_date(zone: str, moment: datetime) -> date:
    """The date on the clocks of a zone at a moment in UTC."""
    return moment.replace(tzinfo=UTC).astimezone(zone_info(zone)).date()


def traffic(zones: Iterable[str], start: datetime, days: int, seed: int) -> list[dict[str, Any]]:
    """Page views of a few visitors of each project, at any time of the day, many of them around midnight somewhere."""
    dice, found = random.Random(seed), []
    for project in zones:
        for number in range(12 * days):
            at = start + timedelta(seconds=dice.randrange(days * 86400))
            for step in range(dice.choice([1, 2, 5])):
                moment = at + step * dice.choice([1, 5, 20, 40]) * timedelta(minutes=1)
                visitor = f"visitor-{dice.randrange(4)}"
                found.append(event(f"{number}-{step}", moment, project_id=project, anonymous_id=visitor))
    return found


def expected(events: Iterable[dict[str, Any]], zones: dict[str, str]) -> Numbers:
    """Events, visitors, sessions and new visitors of each project and local day, moment by moment."""
    times = defaultdict[tuple[str, str], list[datetime]](list)
    numbers: Counter[tuple[str, date, str]] = Counter()
    visitors: set[tuple[str, date, str]] = set()
    for each in events:
        at, project = datetime.fromisoformat(each["timestamp"].removesuffix("Z")), each["project_id"]
        times[project, each["anonymous_id"]].append(at)
        visitors.add((project, local_date(zones[project], at), each["anonymous_id"]))
        numbers[project, local_date(zones[project], at), "events"] += 1
    for project, day, _ in visitors:
        numbers[project, day, "visitors"] += 1
        numbers[project, day, "sessions"] += 0
        numbers[project, day, "new_visitors"] += 0
    for (project, _), moments in times.items():
        moments.sort()
        starts = [moment for before, moment in itertools.pairwise([datetime.min, *moments]) if moment - before > IDLE]
        for number, at in enumerate(starts):
            numbers[project, local_date(zones[project], at), "sessions"] += 1
            numbers[project, local_date(zones[project], at), "new_visitors"] += number == 0
    return dict(numbers)


def stored(platform: Platform, names: Iterable[str]) -> Numbers:
    """The same numbers, as `daily_metrics` has them."""
    return {
        (row["project_id"], row["date"], row["metric"]): row["value"]
        for row in platform.rows("daily_metrics")
        if row["metric"] in {*names}
    }


@pytest.mark.parametrize(
    "zones, start",
    [
        (ZONES, datetime(2026, 3, 27)),
        (ZONES, datetime(2026, 10, 2)),
        (ZONES, datetime(2026, 10, 23)),
        (APIA, datetime(2011, 12, 28)),
    ],
    ids=["spring in Berlin", "spring on Lord Howe", "autumn in Berlin", "the day that Apia skipped"],
)
def test_daily_numbers_equal_a_recomputation(zones: dict[str, str], start: datetime, tmp_path: Path) -> None:
    events = traffic(zones, start, 5, seed=start.toordinal())
    platform = open_platform(tmp_path / "radar", zones, start_date=start.date() - 5 * DAY)
    random.Random(1).shuffle(events)
    half = len(events) // 2
    land_and_build(platform, [events[:half], events[half:]])
    numbers = expected(events, zones)
    assert stored(platform, ("events", "visitors", "sessions", "new_visitors")) == numbers
    views = Counter[tuple[str, date]]()
    for row in platform.rows("daily_breakdowns"):
        if row["dimension"] == "page":
            views[row["project_id"], row["date"]] += row["events"]
    assert views == {(project, day): value for (project, day, name), value in numbers.items() if name == "events"}
    for row in platform.rows("sessions"):
        assert row["date"] == local_date(zones[row["project_id"]], row["started_at"])


def test_a_late_event_makes_the_days_stale_that_its_hour_falls_into(tmp_path: Path) -> None:
    start = datetime(2026, 11, 1)
    zones = {"shop": "Europe/Berlin", "blog": "Pacific/Auckland"}
    platform = open_platform(tmp_path / "radar", zones, start_date=start.date() - 5 * DAY)
    hours = [event(f"{hour}", start + hour * HOUR) for hour in range(72)]
    land_and_build(platform, [hours])

    def days_after(at: datetime) -> set[date]:
        _, days = late(platform, at)
        return {day.date() for day in days}

    # 10:00 UTC is 11:00 in Berlin and 23:00 in Auckland; an hour later, Auckland has the next day.
    assert days_after(datetime(2026, 11, 2, 10, 30)) == {date(2026, 11, 2)}
    assert days_after(datetime(2026, 11, 2, 11, 30)) == {date(2026, 11, 2), date(2026, 11, 3)}
    assert days_after(datetime(2026, 11, 2, 23, 30)) == {date(2026, 11, 3)}


def late(platform: Platform, at: datetime) -> tuple[set[datetime], set[datetime]]:
    """Land an event late. Returns the hours and days that were rebuilt."""
    received = datetime(2026, 11, 5, 12)
    platform.land(received, [event(f"late {at}", at, received)], f"late-{at:%H%M}")
    load(platform)
    return rebuild_stale(platform)


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "Pacific/Honolulu", "Asia/Kathmandu"])
def test_after_a_change_of_the_zone_tables_equal_those_of_a_project_that_always_had_it(
    zone: str, tmp_path: Path
) -> None:
    start = datetime(2026, 11, 1)
    events = traffic(["shop", "blog"], start, 5, seed=3)
    platform = open_platform(tmp_path / "changed", start_date=start.date() - 5 * DAY)
    before = land_and_build(platform, [events])
    set_time_zone(platform.store, "shop", zone)
    changed = open_again(platform)
    sessions = changed.lakehouse.snapshot("sessions")
    behind = stale(changed.lakehouse.snapshot("events"), sessions, changed.lakehouse.calendar())
    assert {from_unit(unit, "day").date() for unit in behind} >= {row["date"] for row in before["sessions"]}
    rebuild_stale(changed)
    other = open_platform(tmp_path / "other", {"shop": zone}, start_date=start.date() - 5 * DAY)
    after = changed.tables()
    assert after == land_and_build(other, [events])
    for name in ("events", "page_views", "sessions", "revenue"):
        assert total(after, name) == total(before, name)
    assert blog(after) == blog(before)


def test_a_change_from_a_day_on_leaves_earlier_days_as_they_are(tmp_path: Path) -> None:
    start, first_day = datetime(2026, 11, 1), date(2026, 11, 3)
    events = traffic(["shop"], start, 6, seed=4)
    platform = open_platform(tmp_path / "radar", {"shop": "Pacific/Auckland"}, start_date=start.date() - 5 * DAY)
    before = land_and_build(platform, [events])
    files = {
        ref.path: from_unit(ref.partition[0] or 0, "day") for ref in platform.lakehouse.snapshot("sessions").files()
    }
    set_time_zone(platform.store, "shop", "Pacific/Honolulu", first_day)
    changed = open_again(platform)
    _, days = rebuild_stale(changed)
    after = changed.tables()
    assert {day.date() for day in days} == {day.date() for day in files.values() if day.date() >= first_day}
    for name in DAILY:
        assert earlier(after[name], first_day) == earlier(before[name], first_day)
    for name in ("events", "page_views", "sessions"):
        assert total(after, name) == total(before, name)
    moved = {
        row["event_id"] for row in after["events"] if local_date("Pacific/Honolulu", row["event_time"]) < first_day
    }
    assert moved, "some events are on the first day only because it began earlier in Auckland"


def open_again(platform: Platform) -> Platform:
    """The platform with definitions that know the present time zones."""
    return Platform(platform.settings, platform.instance)


def total(tables: dict[str, Any], metric: str) -> float:
    return sum(row["value"] for row in tables["daily_metrics"] if row["metric"] == metric)


def blog(tables: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: [row for row in tables[name] if row["project_id"] == "blog"] for name in DAILY}


def earlier(rows: list[dict[str, Any]], day: date) -> list[dict[str, Any]]:
    return [row for row in rows if row["date"] < day]
