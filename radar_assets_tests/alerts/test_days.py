"""Rules over days: each project is judged by its own days, once they have ended for it."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from radar_assets.access.projects import ensure_projects
from radar_assets.access.time_zones import read_calendar, set_time_zone
from radar_assets.alerts.announcements import notice_of
from radar_assets.alerts.automation import due_rules, next_evaluations
from radar_assets.alerts.evaluation import latest_windows
from radar_assets.alerts.ledger import record
from radar_assets.alerts.payload import payload
from radar_assets.alerts.records import firing_projects
from radar_assets.alerts.settling import settling_time
from radar_assets.alerts.wording import describe
from radar_assets.calendar import Calendar
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.settings import Settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Alert, Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.alerts.records import alerts, context, deliveries
from radar_assets_tests.alerts.tables import WEEK, broken, fill, judge, judged, rule, series
from radar_assets_tests.alerts.test_checks import apply, at, monitor
from radar_assets_tests.alerts.test_edges import land
from radar_assets_tests.alerts.test_watchers import date_files
from radar_assets_tests.alerts.test_watchers import judge as judge_platform
from radar_assets_tests.platform import Platform, event

MINUTE = timedelta(minutes=1)
MONDAY = datetime(2026, 11, 2)
ZONES = {
    "auckland": "Pacific/Auckland",
    "berlin": "Europe/Berlin",
    "new_york": "America/New_York",
    "honolulu": "Pacific/Honolulu",
}
ENDS = {
    "auckland": datetime(2026, 11, 2, 11),
    "berlin": datetime(2026, 11, 2, 23),
    "shop": datetime(2026, 11, 3),
    "new_york": datetime(2026, 11, 3, 5),
    "honolulu": datetime(2026, 11, 3, 10),
}
"""When Monday ends for each project, in UTC."""
FEW = {"name": "few_page_views", "metric": "page_views", "operator": "lt", "threshold": 5, "window": "1d"}


@pytest.fixture
def projects(settings: Settings) -> Store:
    """The store of the home, with projects in five time zones."""
    settings.prepare()
    store = open_store(settings.database)
    ensure_projects(store, [Project(id, id, zone) for id, zone in ({"shop": "UTC"} | ZONES).items()])
    return store


@pytest.fixture
def lakehouse(projects: Store, settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance, zones=ZONES)


def fill_days(lakehouse: Lakehouse, values: Mapping[str, Mapping[datetime, float | None]], metric: str) -> None:
    fill(lakehouse, "1d", series(values, metric))


def test_a_day_is_judged_for_a_project_once_it_has_ended_there(lakehouse: Lakehouse) -> None:
    fill_days(lakehouse, {name: {MONDAY - DAY: 9, MONDAY: 1} for name in ENDS}, "page_views")
    by, span = rule(**FEW), Window(MONDAY, MONDAY + DAY)
    for name, end in ENDS.items():
        done = {other for other, other_end in ENDS.items() if other_end < end}
        (before,) = judge(lakehouse, by, span=span, now=end)
        (after,) = judge(lakehouse, by, span=span, now=end + MINUTE)
        assert broken(before) == judged(before) == {other: [MONDAY] for other in done}
        assert broken(after) == judged(after) == {other: [MONDAY] for other in {*done, name}}


def test_the_latest_windows_are_those_of_all_projects(projects: Store) -> None:
    calendar = read_calendar(projects)
    # The second has ended in Auckland only, the first everywhere but in Honolulu.
    found = latest_windows("1d", datetime(2026, 11, 2, 11, 30), 1, calendar)
    assert found == Window(MONDAY - DAY, MONDAY + DAY)
    assert latest_windows("1d", datetime(2026, 11, 2, 9, 30), 1, calendar) == Window(MONDAY - 2 * DAY, MONDAY)
    assert latest_windows("1d", datetime(2026, 11, 2, 9, 30)) == Window(MONDAY - 7 * DAY, MONDAY)


def test_what_lands_in_the_evening_of_one_project_holds_up_no_other(lakehouse: Lakehouse) -> None:
    fill_days(lakehouse, {name: {MONDAY - DAY: 9, MONDAY: 1} for name in ENDS}, "page_views")
    now = datetime(2026, 11, 3, 12)
    land(lakehouse, datetime(2026, 11, 3, 4), "evening", now)
    (found,) = judge(lakehouse, rule(**FEW), span=Window(MONDAY, MONDAY + DAY), now=now)
    assert set(judged(found)) == set(ENDS) - {"new_york", "honolulu"}


@pytest.mark.parametrize(("day", "hours"), [(datetime(2026, 3, 29), 23), (datetime(2026, 10, 25), 25)])
def test_a_day_with_a_clock_change_is_judged_and_compared_like_others(
    lakehouse: Lakehouse, projects: Store, day: datetime, hours: int
) -> None:
    assert read_calendar(projects).bounds("berlin", Window(day, day + DAY)).hours().__len__() == hours
    weeks = {day - count * WEEK: 100.0 for count in range(1, 5)}
    fill_days(lakehouse, {"berlin": {**weeks, day: 30, day + WEEK: 90}}, "page_views")
    weekly = rule(**{**FEW, "operator": "change_pct", "threshold": -60})
    (found,) = judge(lakehouse, weekly, span=Window(day, day + DAY), now=day + 10 * DAY)
    assert broken(found) == {"berlin": [day]}
    assert judged(found) == {"berlin": [day, day + WEEK]}
    (breach,) = found.findings.breaches
    assert (breach.baseline, breach.usual) == (100, (100, 100))


@pytest.mark.parametrize(
    ("zone", "hours"), [("Pacific/Honolulu", 47), ("Pacific/Auckland", 24), ("Europe/London", 37), ("Asia/Tokyo", 28)]
)
def test_a_day_on_which_the_zone_changes_is_not_judged_unless_it_is_a_usual_day(
    lakehouse: Lakehouse, projects: Store, zone: str, hours: int
) -> None:
    """A project that moves from Auckland to Honolulu would have twice the traffic, and one that moves back an hour of it."""
    assert set_time_zone(projects, "auckland", zone, MONDAY.date()) == (zone != "Pacific/Auckland")
    bounds = read_calendar(projects).bounds("auckland", Window(MONDAY, MONDAY + DAY))
    assert bounds.end - bounds.start == hours * HOUR
    weeks = {MONDAY - count * WEEK: 100.0 for count in range(1, 5)}
    fill_days(lakehouse, {"auckland": {**weeks, MONDAY: 100.0 * hours / 24, MONDAY + WEEK: 100}}, "page_views")
    rules = [
        rule(**{**FEW, "operator": "change_pct", "threshold": 15}),
        rule(**{**FEW, "name": "fell", "operator": "change_pct", "threshold": -15}),
    ]
    rise, fall = judge(lakehouse, *rules, span=Window(MONDAY, MONDAY + DAY), now=MONDAY + 10 * DAY)
    assert broken(rise) == broken(fall) == {}
    assert judged(rise) == ({"auckland": [MONDAY, MONDAY + WEEK]} if hours == 24 else {})


def test_a_day_that_a_zone_skipped_is_not_an_outage(projects: Store, settings: Settings) -> None:
    ensure_projects(projects, [Project("apia", "apia", "Pacific/Apia")])
    lakehouse, skipped = open_lakehouse(settings), datetime(2011, 12, 30)
    fill_days(lakehouse, {"apia": {skipped + n * DAY: 9 for n in (-2, -1, 1)}, "shop": {skipped: 9}}, "page_views")
    (found,) = judge(lakehouse, rule(**FEW), span=Window(skipped, skipped + 2 * DAY), now=skipped + 9 * DAY)
    assert broken(found) == {"shop": [skipped + DAY]}
    assert judged(found)["apia"] == [skipped + DAY]


def test_a_day_that_lasts_has_no_missing_data(lakehouse: Lakehouse, projects: Store) -> None:
    rates = {MONDAY - 2 * DAY: 0.1, MONDAY - DAY: 0.9, MONDAY: None}
    fill_days(lakehouse, {"new_york": rates, "auckland": rates}, "error_rate")
    by = rule(name="rate", metric="error_rate", operator="gte", threshold=0.5, window="1d", channels=("chat",))
    states: list[dict[str, str]] = []
    for now in (datetime(2026, 11, 2, 5, 31), datetime(2026, 11, 2, 12, 31), datetime(2026, 11, 3, 6, 31)):
        span = latest_windows("1d", now - settling_time(lakehouse), calendar=read_calendar(projects))
        (found,) = judge(lakehouse, by, span=span, now=now, firing=firing_projects(projects))
        record(projects, found.findings, context(now, calendar=read_calendar(projects)))
        states.append({alert.project_id: alert.state for alert in alerts(projects)})
    assert states == [
        {"auckland": "firing", "new_york": "firing"},
        {"auckland": "no_data", "new_york": "firing"},
        {"auckland": "no_data", "new_york": "no_data"},
    ]


def test_the_evening_before_in_utc_is_no_history_of_a_new_project(lakehouse: Lakehouse) -> None:
    """In New York, 02:00 UTC on the third is in the evening of the second. A date says that the project was there before midnight."""
    first = datetime(2026, 11, 3, 2)
    fill(lakehouse, "1h", series({"new_york": {first: 1}}))
    fill(lakehouse, "1d", series({"new_york": {MONDAY: 1}}))
    (found,) = judge(lakehouse, rule(operator="lt", threshold=5), span=Window(first - 2 * HOUR, first + 2 * HOUR))
    assert broken(found) == {"new_york": [first + HOUR]}


def test_messages_name_the_date_and_the_zone_and_programs_get_its_hours(lakehouse: Lakehouse, projects: Store) -> None:
    fill_days(lakehouse, {name: {MONDAY - DAY: 9, MONDAY: 1} for name in ENDS}, "page_views")
    by, now = rule(**FEW, channels=("chat",)), datetime(2026, 11, 3, 12)
    (found,) = judge(lakehouse, by, span=Window(MONDAY, MONDAY + DAY), now=now)
    about = context(now, calendar=read_calendar(projects), zones=ZONES)
    record(projects, found.findings, about)
    notices = {alert.project_id: notice_of(alert, by, "fired", about) for alert in alerts(projects)}
    facts = dict(describe(notices["auckland"]).facts)
    assert facts["Since"] == "Mon 2 Nov 2026, 00:00 Pacific/Auckland (1 d)"
    assert dict(describe(notices["shop"]).facts)["Since"] == "Mon 2 Nov 2026, 00:00 UTC (1 d)"
    later = notices["new_york"].model_copy(update={"started_at": MONDAY - DAY})
    assert dict(describe(later).facts)["Latest"] == "Mon 2 Nov 2026 (America/New_York)"
    over = notices["honolulu"].model_copy(update={"reason": "fired_and_recovered", "ended_at": MONDAY + DAY})
    assert describe(over).headline == "honolulu: page views were below 5 on Mon 2 Nov"
    for name, end in ENDS.items():
        (sent,) = payload([notices[name]])[1]["alerts"]
        assert sent["window_end"] == f"{end.isoformat()}Z"
        # Clocks went back in New York on Sunday.
        assert sent["window_start"] == sent["started_at"] == f"{(end - DAY).isoformat()}Z"


def test_hours_of_a_day_in_a_payload_are_those_of_the_zone_that_it_was_in(
    lakehouse: Lakehouse, projects: Store
) -> None:
    set_time_zone(projects, "auckland", "Europe/Berlin", date(2026, 11, 10))
    fill_days(lakehouse, {"auckland": {MONDAY - DAY: 9, MONDAY: 1}}, "page_views")
    by, now = rule(**FEW), datetime(2026, 11, 3, 12)
    (found,) = judge(lakehouse, by, span=Window(MONDAY, MONDAY + DAY), now=now)
    about = context(now, calendar=read_calendar(projects), zones={"auckland": "Europe/Berlin"})
    record(projects, found.findings, about)
    (sent,) = payload([notice_of(alerts(projects)[0], by, "fired", about)])[1]["alerts"]
    assert (sent["window_start"], sent["window_end"]) == ("2026-11-01T11:00:00Z", "2026-11-02T11:00:00Z")


def test_the_age_of_an_alert_counts_from_the_end_of_the_project_s_day(lakehouse: Lakehouse, projects: Store) -> None:
    """Honolulu's Monday ends 10 hours later than that of UTC, and Auckland's 13 hours earlier."""
    fill_days(lakehouse, {name: {MONDAY - DAY: 9, MONDAY: 1} for name in ENDS}, "page_views")
    by, now = rule(**FEW, channels=("chat",)), datetime(2026, 11, 4, 2)
    (found,) = judge(lakehouse, by, span=Window(MONDAY, MONDAY + DAY), now=now)
    record(projects, found.findings, context(now, calendar=read_calendar(projects)))
    assert {notice["project_id"] for row in deliveries(projects) for notice in row.contents} == {"new_york", "honolulu"}


def test_rules_over_days_are_due_half_past_one_in_each_zone_and_then_every_hour() -> None:
    daily = [rule(**FEW)]
    calendar = Calendar({"kathmandu": "Asia/Kathmandu", **ZONES})
    ticks = [MONDAY + MINUTE + tick * 5 * MINUTE for tick in range(288)]
    due = {tick for tick in ticks if due_rules(daily, tick, calendar)}
    hourly = {tick for tick in ticks if due_rules(daily, tick)}
    assert hourly == {MONDAY + hour * HOUR + 31 * MINUTE for hour in range(1, 24)}
    # At 01:30 in Berlin, and at 01:30 in Kathmandu, which is 5:45 ahead.
    assert due - hourly == {MONDAY + 31 * MINUTE, MONDAY + 19 * HOUR + 46 * MINUTE}
    before = MONDAY + 19 * HOUR + 40 * MINUTE
    assert next_evaluations(daily, before, calendar) == {FEW["name"]: before + 6 * MINUTE}
    assert next_evaluations(daily, before) == {FEW["name"]: MONDAY + 20 * HOUR + 31 * MINUTE}


def found_by_now(platform: Platform) -> set[tuple[str, datetime]]:
    with platform.store.session(read_only=True) as session:
        return {(alert.project_id, alert.started_at) for alert in session.scalars(sa.select(Alert))}


def traffic(platform: Platform, since: datetime, until: datetime, pages: Mapping[str, Any]) -> None:
    """Land page views of a span of time, one an hour for each project, on the dates on which it has any, and build the tables."""
    calendar = read_calendar(platform.store)
    hours = [since + index * HOUR for index in range((until - since) // HOUR)]
    for hour in hours:
        happened = hour + 10 * MINUTE
        events = [
            event(f"{name} {hour}", happened, project_id=name)
            for name in pages
            if calendar.date_of(name, happened) not in pages[name]
        ]
        platform.land(hour, events, f"s-{hour:%d-%H}")
    with at(until):
        platform.settle()


def test_the_schedule_finds_each_outage_after_the_project_s_own_midnight(platform: Platform) -> None:
    """All projects have an event an hour, and none on their Monday. Events of others keep landing meanwhile."""
    apply(platform, FEW)
    quiet: dict[str, set[date]] = {name: {MONDAY.date()} for name in ENDS} | {"blog": set()}
    begin = datetime(2026, 10, 31, 4)
    told: dict[str, datetime] = {}
    ticks = sorted(end + minutes * MINUTE for end in ENDS.values() for minutes in (-29, 91))
    for now in ticks:
        until = now.replace(minute=0)
        traffic(platform, begin, until, quiet)
        begin = until
        # Part of the day's partition is stale, because an hour that has changed is in it in another zone.
        platform.land(until, [event(f"blog again {until}", until, project_id="blog")], f"again-{until:%d-%H}")
        with at(now - 20 * MINUTE):
            for request in platform.tick("landing_sensor"):
                platform.execute("hourly_job", request)
        monitor(platform, now)
        for project, day in found_by_now(platform):
            assert day == MONDAY
            told.setdefault(project, now)
    # A tick that is due for another zone comes before 01:31 in Berlin and in UTC.
    assert told == {name: min(tick for tick in ticks if tick > end) for name, end in ENDS.items()}


def test_a_change_of_the_zone_raises_no_false_alarm(platform: Platform) -> None:
    """Between the change and the rebuild, days still have the values of the previous zone."""
    change = {**FEW, "operator": "change_pct", "against": "previous", "minimum": 5}
    apply(platform, {**change, "name": "fall", "threshold": -30}, {**change, "name": "rise", "threshold": 30}, FEW)
    before = {(MONDAY - count * DAY).date() for count in range(4, 9)}
    traffic(platform, MONDAY - 5 * DAY, MONDAY + 12 * HOUR, dict.fromkeys(ENDS, before))
    monitor(platform, MONDAY + 12 * HOUR + 31 * MINUTE)
    assert found_by_now(platform) == set()
    set_time_zone(platform.store, "honolulu", "Pacific/Auckland")
    monitor(platform, MONDAY + 12 * HOUR + 36 * MINUTE)
    monitor(platform, MONDAY + 13 * HOUR + 31 * MINUTE)
    assert found_by_now(platform) == set()
    again = Platform(platform.settings, platform.instance)
    with at(MONDAY + 14 * HOUR):
        again.settle()
    monitor(again, MONDAY + 14 * HOUR + 31 * MINUTE)
    assert found_by_now(again) == set()


def late_days(platform: Platform, now: datetime) -> dict[str, str]:
    with at(now):
        found = judge_platform(platform, "late_partitions")
    return {breach.subject: breach.text.partition(" late since ")[2] for breach in found.breaches}


def test_a_day_is_late_after_its_end_in_a_zone_that_has_the_late_hours(platform: Platform) -> None:
    """10:30 UTC is before midnight in Auckland. At 12:30 UTC, Berlin is the first of the others whose Monday ends."""
    happened = {"first": MONDAY + 10 * HOUR + 30 * MINUTE, "second": MONDAY + 12 * HOUR + 30 * MINUTE}
    for name, moment in happened.items():
        with at(moment + 10 * MINUTE):
            platform.land(moment, [event(name, moment, project_id="auckland")], name)
            for request in platform.tick("landing_sensor"):
                platform.execute("hourly_job", request)
            date_files(platform, "raw_events", moment)
            date_files(platform, "events", moment)
        if name == "first":
            assert late_days(platform, ENDS["auckland"] + 119 * MINUTE - 5 * MINUTE) == {}
            found = late_days(platform, ENDS["auckland"] + 121 * MINUTE)
            assert found == {"sessions": "2026-11-02 11:00 UTC: 2026-11-02"}
            platform.rebuild("daily_job", "2026-11-02", "2026-11-02")
            assert late_days(platform, ENDS["auckland"] + 121 * MINUTE) == {}
    platform.rebuild("daily_job", "2026-11-03", "2026-11-03")
    assert late_days(platform, ENDS["berlin"] + 114 * MINUTE) == {}
    assert late_days(platform, ENDS["berlin"] + 121 * MINUTE) == {"sessions": "2026-11-02 23:00 UTC: 2026-11-02"}


def test_a_day_without_events_is_missing_once_it_has_ended_somewhere(platform: Platform) -> None:
    with at(MONDAY):
        traffic(platform, MONDAY - 20 * HOUR, MONDAY - 19 * HOUR, {"blog": set()})
    late = late_days(platform, ENDS["auckland"] + 121 * MINUTE)
    assert late == dict.fromkeys(("sessions", "daily_metrics", "daily_breakdowns"), "2026-11-02 11:00 UTC: 2026-11-02")
    assert late_days(platform, ENDS["auckland"] + 114 * MINUTE) == {}
