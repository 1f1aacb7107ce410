"""All triggers, tick by tick on an instance: new segments are loaded, stale partitions rebuilt, and nothing is requested twice."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from radar_assets.access.projects import ensure_projects
from radar_assets.calendar import Calendar
from radar_assets.cli import main
from radar_assets.orchestration.attempts import pause_after
from radar_assets.orchestration.automation import CLOSE_EVERY, closing_days
from radar_assets.orchestration.run_requests import requests
from radar_assets.settings import Settings, load_settings
from radar_assets.store.models import Project
from radar_assets.windows import DAY, utc_now
from radar_assets_tests.platform import Platform, event, instance_of

NOON = datetime(2026, 3, 10, 12)
HOUR = timedelta(hours=1)


on_each_database = pytest.mark.parametrize("platform", ["sqlite", "postgres"], indirect=True)
"""For triggers that depend on what Dagster's storage knows of earlier runs."""


@pytest.fixture
def platform(request: pytest.FixtureRequest, radar_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    if getattr(request, "param", "sqlite") == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
    settings = load_settings().prepare()
    with instance_of(settings) as instance:
        yield Platform(settings, instance)


def keys(requests: list[dg.RunRequest]) -> list[str]:
    """Run keys without the digest or sequence number at their end."""
    return [str(request.run_key).rsplit(":", 1)[0] for request in requests]


def counts(platform: Platform) -> dict[datetime, float]:
    """Events by hour, as the hourly metrics have them."""
    rows = platform.rows("hourly_metrics", "select hour, value from {table} where metric = 'events'")
    return {row["hour"]: row["value"] for row in rows}


@on_each_database
def test_landed_events_are_counted_and_nothing_is_requested_twice(platform: Platform) -> None:
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        assert platform.tick("landing_sensor") == []
        platform.land(NOON, [event("1", NOON), event("2", NOON)], "a")
        (request,) = platform.tick("landing_sensor")
        assert request.partition_key == "2026-03-10-12:00"
        assert platform.tick("landing_sensor") == []
        platform.execute("hourly_job", request)
        assert counts(platform) == {NOON: 2}
        assert keys(platform.tick("stale_days_sensor")) == ["sessions:2026-03-10"]
        assert platform.tick("landing_sensor") == []
        assert platform.tick("stale_hours_sensor") == []
        assert platform.tick("stale_days_sensor") == []


def test_a_late_line_rebuilds_its_hour_and_its_day_and_no_others(platform: Platform) -> None:
    old = NOON - timedelta(days=5)
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        platform.land(old, [event("1", old)], "old")
        platform.land(NOON, [event("2", NOON)], "new")
        platform.settle()
        platform.land(NOON, [event("3", old + 3 * HOUR, received_at=NOON)], "late")
        (request,) = platform.tick("landing_sensor")
        result = platform.execute("hourly_job", request)
        materialized = {e.asset_key.to_user_string() for e in result.get_asset_materialization_events() if e.asset_key}
        assert materialized == {"raw_events", "rejected_events"}  # there is no new event of the received hour itself
        hours = platform.tick("stale_hours_sensor")
        assert keys(hours) == ["events:2026-03-05-15:00"]
        assert platform.tick("stale_hours_sensor") == []
        platform.execute("hourly_job", hours[0])
        assert counts(platform) == {old: 1, old + 3 * HOUR: 1, NOON: 1}
    with time_machine.travel("2026-03-10T12:50:00Z", tick=True):
        assert keys(platform.tick("stale_days_sensor")) == ["sessions:2026-03-05"]
        assert platform.tick("stale_days_sensor") == []


def test_the_last_hour_reaches_its_day_after_midnight(platform: Platform) -> None:
    last = datetime(2026, 3, 10, 23)
    with time_machine.travel("2026-03-10T23:50:00Z", tick=True):
        platform.land(last, [event("1", last)], "a")
        platform.settle()
    with time_machine.travel("2026-03-11T00:20:00Z", tick=True):
        received = datetime(2026, 3, 11, 0, 0, 5)
        platform.land(received, [event("2", last + timedelta(minutes=59, seconds=58), received)], "b")
        done = [key.rsplit(":", 1)[0] for key in platform.settle()]
        assert done == ["landing:2026-03-11-00:00", "events:2026-03-10-23:00", "sessions:2026-03-10"]
        (row,) = platform.rows("daily_metrics", "select * from {table} where metric = 'events'")
        assert (row["date"].isoformat(), row["value"]) == ("2026-03-10", 2)


@on_each_database
def test_an_update_during_a_run_waits_and_is_not_lost(platform: Platform) -> None:
    """More lands after the hour's run was launched but before it has read, and again when it has just ended."""
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        platform.land(NOON, [event("1", NOON)], "a")
        (request,) = platform.tick("landing_sensor")
        job = platform.defs.resolve_job_def("hourly_job")
        run = platform.instance.create_run_for_job(
            job, tags={**request.tags, "dagster/partition": "2026-03-10-12:00"}, status=dg.DagsterRunStatus.STARTED
        )
        planned = platform.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        assert planned, "the run is known to be at the partition"
        platform.land(NOON, [event("2", NOON)], "b")
        assert platform.tick("landing_sensor") == []
        platform.instance.report_run_failed(run)
    with time_machine.travel("2026-03-10T12:31:00Z", tick=True):
        (again,) = platform.tick("landing_sensor")
        platform.execute("hourly_job", again)
        platform.land(NOON, [event("3", NOON)], "c")
        assert platform.settle()
        assert counts(platform) == {NOON: 3}


@on_each_database
def test_a_failed_run_is_requested_again_with_a_growing_pause_until_it_succeeds(platform: Platform) -> None:
    at = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)

    def fail(request: dg.RunRequest) -> None:
        blocked = platform.settings.home / "warehouse/radar/hourly_metrics/data"
        blocked.parent.mkdir(parents=True, exist_ok=True)
        blocked.write_text("a file where a folder belongs")
        assert not platform.execute("hourly_job", request, raise_on_error=False).success
        blocked.unlink()

    with time_machine.travel(at, tick=False) as clock:
        platform.land(NOON, [event("1", NOON)], "a")
        (request,) = platform.tick("landing_sensor")
        fail(request)
        assert platform.tick("landing_sensor") == []
        for number, pause_s in ((2, 30), (3, 60)):
            at += timedelta(seconds=pause_s - 1)
            clock.move_to(at)
            assert platform.tick("stale_hours_sensor") == []
            at += timedelta(seconds=1)
            clock.move_to(at)
            (again,) = platform.tick("stale_hours_sensor")
            assert again.tags["radar/attempt"] == str(number)
            assert [key.to_user_string() for key in again.asset_selection or []] == ["hourly_metrics"]
            assert platform.tick("stale_hours_sensor") == []
            fail(again)
        clock.move_to(at + timedelta(minutes=2))
        (last,) = platform.tick("stale_hours_sensor")
        platform.execute("hourly_job", last)
        assert counts(platform) == {NOON: 1}
        platform.land(NOON, [event("2", NOON)], "b")
        (fresh,) = platform.tick("landing_sensor")
        assert fresh.tags["radar/attempt"] == "1"


@on_each_database
def test_a_partition_that_always_fails_does_not_keep_others_from_being_built(platform: Platform) -> None:
    due = {NOON - index * HOUR: 1 for index in range(40)}
    assets = ("hourly_metrics",)
    job = platform.defs.resolve_job_def("hourly_job")

    def ask(moment: datetime) -> list[dg.RunRequest]:
        with time_machine.travel(moment.replace(tzinfo=UTC), tick=False):
            found = requests(platform.instance, due, "hour", assets, prefix="x")
            for request in found:
                run = platform.instance.create_run_for_job(
                    job, tags=request.tags, asset_selection=frozenset(request.asset_selection or [])
                )
                platform.instance.report_run_failed(run)
            return found

    assert len(ask(NOON)) == 1
    due[NOON + HOUR] = 1
    assert [request.partition_key for request in ask(NOON + HOUR / 60)] == ["2026-03-10-13:00", None]
    assert len(ask(NOON + HOUR / 12)) == 5, "the new hour alone, and the others in four windows"


def test_the_pause_grows_to_half_an_hour() -> None:
    assert [pause_after(number).total_seconds() for number in (1, 2, 7, 8, 10_000)] == [30, 60, 1800, 1800, 1800]


def test_copies_in_adjacent_hours_count_once_whichever_lands_first(platform: Platform) -> None:
    edge = NOON - timedelta(seconds=1)
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        platform.land(NOON, [event("1", NOON, received_at=NOON + timedelta(minutes=2))], "later")
        platform.settle()
        assert counts(platform) == {NOON: 1}
        platform.land(NOON, [event("1", edge, received_at=NOON + timedelta(minutes=1))], "earlier")
        platform.settle()
        assert counts(platform) == {edge.replace(minute=0, second=0): 1}
        assert [row["event_time"] for row in platform.rows("events")] == [edge]


@on_each_database
def test_the_current_day_is_rebuilt_but_not_at_every_tick(platform: Platform) -> None:
    with time_machine.travel("2026-03-10T12:05:00Z", tick=True):
        platform.land(NOON, [event("1", NOON)], "a")
        platform.settle()
        platform.land(NOON, [event("2", NOON)], "b")
        for request in platform.tick("landing_sensor"):
            platform.execute("hourly_job", request)
        assert platform.tick("stale_days_sensor") == []
    with time_machine.travel("2026-03-10T12:21:00Z", tick=True):
        (request,) = platform.tick("stale_days_sensor")
        platform.execute("daily_job", request)
        (row,) = platform.rows("daily_metrics", "select value from {table} where metric = 'events'")
        assert row["value"] == 2
        assert platform.tick("stale_days_sensor") == []


def test_the_day_closes_at_one_even_without_events(platform: Platform) -> None:
    schedule = platform.defs.resolve_schedule_def("daily_close_schedule")
    with (
        time_machine.travel("2026-03-11T01:00:00Z", tick=True),
        dg.build_schedule_context(
            instance=platform.instance,
            scheduled_execution_time=datetime.fromisoformat("2026-03-11T01:00:00+00:00"),
            repository_def=platform.defs.get_repository_def(),
            resources={"lakehouse": platform.lakehouse},
        ) as context,
    ):
        (request,) = schedule.evaluate_tick(context).run_requests or []
        assert (request.run_key, request.partition_key) == ("close:2026-03-10:2026-03-11-01:00", "2026-03-10")
        platform.execute("daily_job", request)
    assert platform.rows("daily_metrics") == []
    assert len(platform.lakehouse.snapshot("daily_metrics").files()) == 1


@on_each_database
def test_days_are_rebuilt_at_once_after_a_change_of_a_time_zone(platform: Platform) -> None:
    late_evening = datetime(2026, 3, 9, 23, 30)
    monday, tuesday = date(2026, 3, 9), date(2026, 3, 10)
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        ensure_projects(platform.store, [Project("kiosk", timezone="Asia/Kathmandu")])
        platform.land(late_evening, [event("1", late_evening), event("2", late_evening, project_id="kiosk")], "a")
        platform.land(NOON, [event("3", NOON)], "b")
        platform.settle()
        assert events_by_day(platform) == {("shop", monday): 1, ("shop", tuesday): 1, ("kiosk", tuesday): 1}
        set_time_zone_by_command("shop", "Europe/Berlin")
        del platform.defs  # reloaded, as the UI does
        assert platform.settle()
        assert events_by_day(platform) == {("shop", tuesday): 2, ("kiosk", tuesday): 1}
        assert platform.settle() == []
        # Back again: what was built in between is stale, although no event has changed.
        set_time_zone_by_command("shop", "UTC")
        set_time_zone_by_command("kiosk", "Pacific/Honolulu")
        del platform.defs  # reloaded, as the UI does
        assert platform.settle()
        assert events_by_day(platform) == {("shop", monday): 1, ("shop", tuesday): 1, ("kiosk", monday): 1}
        assert platform.settle() == []


def set_time_zone_by_command(project: str, zone: str) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["project", "set-timezone", project, zone, "--yes"])
    assert not exit.value.code


def events_by_day(platform: Platform) -> dict[tuple[str, date], float]:
    rows = platform.rows(
        "daily_metrics", "select project_id, date, value from {table} where metric = 'events' and value > 0"
    )
    return {(row["project_id"], row["date"]): row["value"] for row in rows}


def test_a_day_closes_an_hour_after_each_of_its_ends() -> None:
    calendar = Calendar({"a": "Pacific/Auckland", "b": "Asia/Kathmandu", "c": "Europe/Berlin", "d": "Pacific/Honolulu"})
    first = datetime(2026, 10, 24)
    ticks = [first + index * CLOSE_EVERY for index in range(3 * DAY // CLOSE_EVERY)]
    found = [(at, day) for at in ticks for day in closing_days(calendar, at)]
    of_day = [f"{at:%d %H:%M}" for at, day in found if day == date(2026, 10, 24)]
    assert of_day == ["24 12:00", "24 19:15", "24 23:00", "25 11:00"]
    # In Berlin, the day after has 25 hours.
    assert [f"{at:%d %H:%M}" for at, day in found if day == date(2026, 10, 25)] == [
        *("25 12:00", "25 19:15", "26 00:00", "26 11:00")
    ]


def test_days_without_events_that_were_missed_during_downtime_are_built(platform: Platform) -> None:
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        platform.land(NOON, [event("1", NOON)], "a")
        platform.settle()
    with time_machine.travel("2026-03-15T01:30:00Z", tick=True):
        (request,) = platform.tick("stale_days_sensor")
        assert request.tags["dagster/asset_partition_range_start"] == "2026-03-11"
        assert request.tags["dagster/asset_partition_range_end"] == "2026-03-13", (
            "the schedule has just closed the 14th"
        )
        platform.execute("daily_job", request)
        assert platform.tick("stale_days_sensor") == []
    for table in ("sessions", "daily_metrics", "daily_breakdowns"):
        assert len(platform.lakehouse.snapshot(table).changes()) == 4


def test_hours_off_the_grid_are_skipped_with_a_message(platform: Platform) -> None:
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        platform.land(datetime(2025, 12, 31, 23), [event("1", NOON)], "early")
        assert platform.tick("landing_sensor") == []


def test_a_backlog_is_worked_off_in_few_runs(platform: Platform) -> None:
    with time_machine.travel("2026-03-10T12:30:00Z", tick=True):
        for index in range(30):
            at = NOON - index * HOUR
            platform.land(at, [event(str(index), at)], "a")
        (request,) = platform.tick("landing_sensor")
        assert request.tags["dagster/asset_partition_range_start"] == "2026-03-09-07:00"
        assert request.tags["dagster/asset_partition_range_end"] == "2026-03-10-12:00"
        platform.execute("hourly_job", request)
        assert sum(counts(platform).values()) == 30


def days_of(platform: Platform) -> Sequence[str]:
    """The partitions of the daily assets."""
    partitions = platform.defs.resolve_job_def("daily_job").partitions_def
    assert partitions
    return partitions.get_partition_keys()


def test_partitions_of_a_new_home_start_today_and_move_back_to_older_data(settings: Settings) -> None:
    now = utc_now()
    before = now - timedelta(days=3)
    with instance_of(settings) as instance:
        new = Platform(settings, instance, is_of_today=True)
        assert days_of(new) == [f"{now:%Y-%m-%d}"]
        close = new.defs.resolve_schedule_def("daily_close_schedule")
        at_one = datetime(now.year, now.month, now.day, 1, tzinfo=UTC)
        with dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at_one, resources={"lakehouse": new.lakehouse}
        ) as context:
            assert not close.evaluate_tick(context).run_requests, "yesterday has no partition"
        # A late event, and a segment of an earlier hour.
        new.land(now, [event("late", before, received_at=now)], "a")
        new.land(before - timedelta(days=1), [event("early", before - timedelta(days=1))], "b")
        new.settle()
        assert [row["event_id"] for row in new.rows("raw_events")] == ["late"]
        del new.defs  # reloaded, as the UI does
        new.settle()
        days = [(now - timedelta(days=place)).date() for place in (4, 3)]
        assert [(row["date"], row["value"]) for row in new.rows("daily_metrics") if row["metric"] == "events"] == [
            (day, 1) for day in days
        ]
        keys = days_of(new)
        assert keys[0] == f"{days[0]}" and len(keys) == 5
