"""Alerts at the edges: a metric without a value, a rise from 0, clock changes, and landed files that are not loaded."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from radar_assets.alerts.evaluation import latest_windows
from radar_assets.alerts.ledger import record
from radar_assets.alerts.records import firing_projects
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.settling import settling_time
from radar_assets.alerts.weeks import weeks_from
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.settings import Settings
from radar_assets.store.database import Store, open_store
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.alerts.records import alerts, context, deliveries
from radar_assets_tests.alerts.tables import NOON, WEEK, broken, fill, judge, judged, rule, series

MINUTE = timedelta(minutes=1)


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store on SQLite; `test_ledger.py` has the states of alerts on both databases."""
    store = open_store(settings.database)
    yield store
    store.close()


def follow(lakehouse: Lakehouse, store: Store, by: Rule, hours: range) -> None:
    """Judge and record the latest windows two minutes after the end of each hour, counted from noon."""
    for hour in hours:
        now = NOON + (hour + 1) * HOUR + 2 * MINUTE
        span = latest_windows(by.window, now - settling_time(lakehouse))
        (found,) = judge(lakehouse, by, span=span, now=now, firing=firing_projects(store))
        record(store, found.findings, context(now))


def told(store: Store) -> list[tuple[int, str, str]]:
    """The hour after noon, the reason and the end of the latest window of each notice."""
    return [
        ((row.created_at - NOON) // HOUR - 1, notice["reason"], notice["window_end"])
        for row in deliveries(store)
        for notice in row.contents
    ]


RATE = {"metric": "error_rate", "operator": "gte", "threshold": 0.5, "channels": ("chat",), "renotify_every": "PT2H"}
ONE_O_CLOCK = (NOON + HOUR).isoformat()


def fill_rates(lakehouse: Lakehouse, rates: Mapping[int, float | None]) -> None:
    """Rates by hours after noon, in hours that all have events."""
    fill(lakehouse, "1h", series({"shop": {NOON + hour * HOUR: rate for hour, rate in rates.items()}}, "error_rate"))


def test_an_alert_whose_rate_has_no_value_says_so_once_and_ends_after_three_days(
    lakehouse: Lakehouse, store: Store
) -> None:
    fill_rates(lakehouse, {-1: 0.1, 0: 1.0, **dict.fromkeys(range(1, 80))})
    by = rule(**RATE)
    follow(lakehouse, store, by, range(26))
    (alert,) = alerts(store)
    assert (alert.state, alert.no_data_since, alert.ended_at) == ("no_data", NOON + HOUR, NOON + HOUR)
    assert told(store) == [(0, "fired", ONE_O_CLOCK), (1, "no_data", ONE_O_CLOCK)]
    follow(lakehouse, store, by, range(26, 78, 6))
    (alert,) = alerts(store)
    assert (alert.state, alert.no_data_since) == ("ended_without_data", NOON + HOUR)
    assert [reason for _, reason, _ in told(store)] == ["fired", "no_data", "ended_without_data"]
    assert firing_projects(store) == []


@pytest.mark.parametrize(
    ("back", "state", "last"), [(0.9, "firing", ("still_firing", 5)), (0.1, "resolved", ("recovered", 1))]
)
def test_an_alert_goes_on_with_its_rate(
    lakehouse: Lakehouse, store: Store, back: float, state: str, last: tuple[str, int]
) -> None:
    fill_rates(lakehouse, {-1: 0.1, 0: 1.0, 1: None, 2: None, 3: None, 4: back})
    follow(lakehouse, store, rule(**{**RATE, "renotify_every": None}), range(5))
    (alert,) = alerts(store)
    assert (alert.state, alert.no_data_since) == (state, None)
    reason, end = last
    assert told(store)[1:] == [(1, "no_data", ONE_O_CLOCK), (4, reason, (NOON + end * HOUR).isoformat())]


def test_a_rate_that_comes_and_goes_is_announced_once_in_each_direction(lakehouse: Lakehouse, store: Store) -> None:
    fill_rates(lakehouse, {-1: 0.1} | {hour: None if hour % 2 else 0.9 for hour in range(10)})
    follow(lakehouse, store, rule(**{**RATE, "renotify_every": None}), range(10))
    assert len(alerts(store)) == 1
    assert [reason for _, reason, _ in told(store)] == ["fired", "no_data", "still_firing"]


def test_a_count_of_nothing_and_windows_that_are_not_loaded_are_not_missing_data(
    lakehouse: Lakehouse, store: Store
) -> None:
    fill(
        lakehouse,
        "1h",
        series({"shop": {NOON - HOUR: 50, NOON: 0}, "blog": {NOON + hour * HOUR: 50 for hour in range(9)}}),
    )
    gone = rule(name="gone", operator="lt", threshold=1, channels=("chat",))
    follow(lakehouse, store, gone, range(9))
    (alert,) = alerts(store)
    assert (alert.state, alert.ended_at) == ("firing", NOON + 9 * HOUR)
    fill_rates(lakehouse, {-1: 0.1, 0: 1.0})
    many = rule(**RATE)
    follow(lakehouse, store, many, range(1))
    now = NOON + 2 * HOUR + 2 * MINUTE
    land(lakehouse, NOON + HOUR, "late", now)
    span = latest_windows("1h", now - settling_time(lakehouse))
    (found,) = judge(lakehouse, many, span=span, now=now, firing=firing_projects(store))
    record(store, found.findings, context(now))
    assert [alert.state for alert in alerts(store)] == ["firing", "firing"]


def test_a_quiet_night_does_not_hide_that_there_are_no_data(lakehouse: Lakehouse, store: Store) -> None:
    """The first message about the alert is then about its end of data."""
    fill_rates(lakehouse, {-1: 0.1, 0: 1.0, **dict.fromkeys(range(1, 4))})
    night = {"start": "12:00", "end": "15:30", "timezone": "UTC"}
    follow(lakehouse, store, rule(**RATE, quiet_hours=night), range(4))
    assert told(store) == [(3, "no_data", ONE_O_CLOCK)]


def test_a_rise_from_zero_fires_if_it_exceeds_the_minimum(lakehouse: Lakehouse) -> None:
    values = {"rush": 5000, "small": 10, "nothing": 0}
    before = dict.fromkeys((NOON - weeks * WEEK for weeks in range(1, 5)), 0.0)
    outage = {NOON - weeks * WEEK: 100.0 for weeks in (2, 3, 4)} | {NOON - WEEK: 0.0, NOON: 105.0}
    given = {name: {NOON - 5 * WEEK: 1, **before, NOON: value} for name, value in values.items()}
    fill(lakehouse, "1h", series({**given, "after an outage": outage}))
    rises = {"operator": "change_pct", "threshold": 200}
    for_all, above = judge(lakehouse, rule(**rises), rule(name="above", minimum=10, **rises))
    assert broken(for_all) == {"rush": [NOON], "small": [NOON]}
    assert broken(above) == {"rush": [NOON]}
    assert set(judged(for_all)) == set(judged(above)) == {*values, "after an outage"}
    assert {(breach.value, breach.baseline) for breach in above.findings.breaches} == {(5000, 0)}
    (falls,) = judge(lakehouse, rule(operator="change_pct", threshold=-60))
    assert broken(falls) == {}


BERLIN = ZoneInfo("Europe/Berlin")
DAYTIME = [4, 16, 50, 140, 200, 210, 200, 190, 200, 200, 190, 170, 120, 80, 60, 50, 36, 12, 6]
"""Visitors by the hour in Berlin, from 5:00 on."""


@pytest.mark.parametrize("monday", [datetime(2026, 3, 30), datetime(2026, 10, 26)])
def test_a_clock_change_is_silent_for_projects_in_the_time_zone(lakehouse: Lakehouse, monday: datetime) -> None:
    """Visitors come at the same local hours as ever; the clock was changed on the day before."""
    hours = [monday - weeks * WEEK + hour * HOUR for weeks in range(6) for hour in range(-2, 26)]
    shape = dict(enumerate(DAYTIME, start=5))
    usual = {hour: float(shape.get(hour.replace(tzinfo=UTC).astimezone(BERLIN).hour, 1)) for hour in hours}
    quiet = {hour: 0.0 if monday + 8 * HOUR <= hour else value for hour, value in usual.items()}
    fill(lakehouse, "1h", series({"berlin": usual, "utc": usual, "quiet": quiet}))
    rules = [
        rule(operator="change_pct", threshold=-60, minimum=15),
        rule(name="rise", operator="change_pct", threshold=200, minimum=10),
    ]
    zones = {"berlin": "Europe/Berlin", "quiet": "Europe/Berlin"}
    fall, rise = judge(lakehouse, *rules, span=Window(monday, monday + DAY), zones=zones)
    assert {*broken(fall), *broken(rise)} == {"utc", "quiet"}, "in UTC, the change looks like a fall and a rise"
    assert "quiet" in broken(fall)
    assert [window for window in fall.asked if window.start < monday or window.start >= monday + DAY] == []


def test_windows_of_other_weeks_have_the_same_local_time() -> None:
    def earlier(start: str, zone: str = "Europe/Berlin", step: timedelta = HOUR) -> str:
        return weeks_from(datetime.fromisoformat(start), -1, step, zone).isoformat(" ", "minutes")

    # Clocks go back on 25 October at 01:00 UTC. Both hours at 2:00 are compared with the one a week before.
    assert earlier("2026-10-24 23:00") == "2026-10-17 23:00"
    assert earlier("2026-10-25 00:00") == earlier("2026-10-25 01:00") == "2026-10-18 00:00"
    assert earlier("2026-10-25 02:00") == "2026-10-18 01:00"
    # A week later, each hour is compared once, 2:00 with the second one.
    assert earlier("2026-11-01 00:00") == "2026-10-24 23:00"
    assert earlier("2026-11-01 01:00") == "2026-10-25 01:00"
    assert earlier("2026-11-02 05:00") == "2026-10-26 05:00"
    # Clocks go forward on 29 March at 01:00 UTC. 2:00 doesn't exist, so a week later it is compared with 3:00.
    assert earlier("2026-03-29 01:00") == "2026-03-22 02:00"
    assert earlier("2026-04-05 00:00") == earlier("2026-04-05 01:00") == "2026-03-29 01:00"
    assert earlier("2026-04-04 23:55", step=5 * MINUTE) == "2026-03-29 00:55"
    # Days are days in UTC; a change by half an hour is rounded to an hour of UTC.
    assert earlier("2026-10-26 00:00", step=DAY) == "2026-10-19 00:00"
    assert earlier("2026-10-05 00:00", "Australia/Lord_Howe") == "2026-09-28 00:00"
    assert earlier("2026-10-25 02:00", "UTC") == "2026-10-18 02:00"


def test_late_data_judge_the_windows_that_are_compared_with_them(lakehouse: Lakehouse) -> None:
    weekly, start = rule(operator="change_pct", threshold=-50), datetime(2026, 10, 22, 8)
    (found,) = judge(
        lakehouse, weekly, span=Window(start, start + HOUR), now=start + 8 * DAY, zones={"shop": "Europe/Berlin"}
    )
    assert [window.start for window in found.asked] == [start, start + WEEK, start + WEEK + HOUR]


def land(lakehouse: Lakehouse, hour: datetime, name: str, modified: datetime) -> None:
    """Land a segment that is not loaded."""
    folder = lakehouse.settings.landing / f"dt={hour:%Y-%m-%d}" / f"hr={hour:%H}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.ndjson"
    file.write_text("{}\n")
    seconds = modified.replace(tzinfo=UTC).timestamp()
    os.utime(file, (seconds, seconds))


FIVE = {"window": "5m", "operator": "lt", "threshold": 1, "name": "nothing_comes"}


def test_five_minutes_wait_for_all_landed_files_that_may_have_events_of_them(lakehouse: Lakehouse) -> None:
    """A file of a log shipper may hold the whole hour, however late in the hour it landed."""
    fill(lakehouse, "1h", series({"shop": {NOON - HOUR: 50}}))
    span, now = Window(NOON, NOON + HOUR), NOON + HOUR + 5 * MINUTE
    by = rule(**FIVE)
    (found,) = judge(lakehouse, by, span=span, now=now)
    assert len(broken(found)["shop"]) == 12
    land(lakehouse, NOON, "collector-1", NOON + 50 * MINUTE)
    (found,) = judge(lakehouse, by, span=span, now=now)
    assert broken(found) == {"shop": [NOON + minutes * MINUTE for minutes in range(0, 45, 5)]}
    land(lakehouse, NOON, "shipped", NOON + 50 * MINUTE)
    (found,) = judge(lakehouse, by, span=span, now=now)
    assert (broken(found), len(found.waiting)) == ({}, 12)
    # It never loads, which holds up no other hour.
    after = Window(NOON + HOUR + 5 * MINUTE, NOON + 2 * HOUR)
    (found,) = judge(lakehouse, by, span=after, now=after.end + 5 * MINUTE, waiting=found.waiting)
    assert len(broken(found)["shop"]) == 11
    assert len(found.waiting) == 12


@pytest.mark.parametrize(
    ("zone", "begins", "ends"),
    [
        # Both clock changes of Berlin fall into the hours, which are shorter or longer by one.
        ("Europe/Berlin", "2026-03-28 21:00", "2026-03-29 05:00"),
        ("Europe/Berlin", "2026-10-24 20:00", "2026-10-25 06:00"),
        # Lord Howe changes its clock by half an hour.
        ("Australia/Lord_Howe", "2026-10-03 11:30", "2026-10-03 20:00"),
        ("Asia/Kathmandu", "2026-10-03 16:15", "2026-10-04 01:15"),
        ("Pacific/Auckland", "2026-10-03 09:00", "2026-10-03 18:00"),
    ],
)
def test_quiet_hours_follow_the_local_clock(zone: str, begins: str, ends: str) -> None:
    by = rule(quiet_hours={"start": "22:00", "end": "07:00", "timezone": zone})
    begin, end = datetime.fromisoformat(begins), datetime.fromisoformat(ends)
    minutes = [begin + minute * MINUTE for minute in range(-60, 14 * 60)]
    quiet = [at for at in minutes if by.is_quiet(at)]
    assert (quiet[0], quiet[-1], len(quiet)) == (begin, end - MINUTE, (end - begin) // MINUTE)


def test_hours_of_half_hour_zones_are_compared_with_the_same_local_time() -> None:
    def earlier(start: str, zone: str) -> str:
        return weeks_from(datetime.fromisoformat(start), -1, HOUR, zone).isoformat(" ", "minutes")

    assert earlier("2026-10-05 03:00", "Asia/Kathmandu") == "2026-09-28 03:00"
    # 9:30 in Adelaide, before and after its clocks go forward on 4 October and back on 5 April.
    assert earlier("2026-10-04 23:00", "Australia/Adelaide") == "2026-09-28 00:00"
    assert earlier("2026-04-06 00:00", "Australia/Adelaide") == "2026-03-29 23:00"
