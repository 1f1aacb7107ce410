"""`radar backfill`: queues runs that the daemon executes, shows their progress, and prunes only what a person confirmed."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from radar_assets.events.loading import load_raw_events
from radar_assets.settings import Settings
from radar_assets.windows import DAY, Window, utc_now
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.platform import Platform, event

NOON = Window.of_day((utc_now() - 14 * DAY).date()).start + timedelta(hours=12)
"""Recent, because the daemon also builds all days until today."""
ONE = NOON + timedelta(hours=1)
RADAR = {"module_name": "radar_assets.definitions"}


def day(number: int) -> str:
    """The date of a day, counted from that of `NOON`."""
    return f"{NOON + number * DAY:%Y-%m-%d}"


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """Two hours whose segments were loaded, one of which is no longer in the landing zone."""
    with monitored_instance(settings) as instance:
        platform = Platform(settings, instance)
        platform.land(NOON, [event("1", NOON)], "archived")
        platform.land(ONE, [event("2", ONE)], "present")
        platform.rebuild("hourly_job", f"{NOON:%Y-%m-%d-%H:00}", f"{ONE:%Y-%m-%d-%H:00}")
        (file,) = settings.landing.rglob("archived*")
        file.unlink()
        yield platform


def ids(platform: Platform) -> list[str]:
    return [row["event_id"] for row in platform.rows("events")]


def test_a_backfill_waits_for_the_daemon_and_status_shows_it(radar: Radar, platform: Platform) -> None:
    run = radar(f"backfill daily_job --since {day(0)} --until {day(7)}")
    assert run.code == 0
    assert "The daemon is not running" in run.err
    assert "of daily_job, 8 partitions" in run.out
    assert platform.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])) == 2
    (shown,) = [line for line in radar("status").out.splitlines() if line.startswith("backfill")]
    assert "daily_job" in shown
    assert "0 of 8 partitions" in shown
    assert shown.endswith("unknown time left")
    rows = {row["table"]: row["backfills"] for row in json.loads(radar("status --format json").out)}
    assert rows["events"] == []
    assert rows["sessions"] == rows["daily_metrics"]
    (found,) = rows["sessions"]
    assert {name: found[name] for name in ("job", "done", "failed", "total", "left_s")} == {
        "job": "daily_job",
        "done": 0,
        "failed": 0,
        "total": 8,
        "left_s": None,
    }


def test_lines_that_can_not_be_loaded_again_are_kept_unless_pruning_is_confirmed(
    radar: Radar, terminal: Radar, platform: Platform, tmp_path: Path
) -> None:
    command = f"backfill hourly_job --since {day(0)} --until {day(0)}"
    run = radar(f"{command} --prune")
    assert run.code == 2
    assert "deletes the lines of 1 loaded segments" in run.err
    assert f"{day(0)} 12:00 archived" in run.err
    assert "--yes" in run.err
    assert "Nothing was queued." in terminal(f"{command} --prune", answer="n").out
    assert radar(f"backfill daily_job --since {day(0)} --prune").code == 2
    assert platform.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])) == 0
    with daemon(platform.instance, tmp_path, [RADAR]) as process:
        while not platform.instance.get_daemon_heartbeats():
            assert process.poll() is None
        kept = radar(command)
        assert kept.code == 0
        assert kept.out.startswith("hourly_job: 2 of 2 partitions, ")
        assert "hourly_job: 0 of 2 partitions, " in kept.err
        assert ids(platform) == ["1", "2"]
        pruned = terminal(f"{command} --prune", columns=120, answer="y")
        assert pruned.code == 0
        assert "2 of 2 partitions" in pruned.out
        assert ids(platform) == ["2"]
        assert not [line for line in radar("status").out.splitlines() if line.startswith("backfill")]


def test_hours_without_lines_or_events_are_skipped(radar: Radar, platform: Platform) -> None:
    """An hour between others stays, since it costs less than another run, and so does one that was landed but not loaded yet."""
    morning = NOON.replace(hour=7)
    next_day = NOON + timedelta(days=2)
    platform.land(morning, [event("3", morning)], "early")
    platform.land(next_day, [event("4", next_day)], "new")
    run = radar(f"backfill hourly_job --since {day(-1)} --until {day(3)} --detach")
    assert "of hourly_job, 8 partitions" in run.out
    queued = platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    spans = {
        (run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"])
        for run in queued
    }
    assert spans == {(f"{day(0)}-07:00", f"{day(0)}-13:00"), (f"{day(2)}-12:00", f"{day(2)}-12:00")}
    nothing = radar(f"backfill hourly_job --since {day(10)} --until {day(11)}")
    assert nothing.code == 0
    assert f"No hour from {day(10)} to {day(11)} has landed lines or events" in nothing.out


def test_the_hour_of_a_late_event_is_not_skipped(radar: Radar, platform: Platform) -> None:
    happened, received = NOON + timedelta(days=6), NOON + timedelta(days=9)
    platform.land(received, [event("5", happened, received_at=received)], "late")
    load_raw_events(platform.lakehouse, ["shop"], Window.of_hour(received), only_missing=True)
    run = radar(f"backfill hourly_job --since {happened:%Y-%m-%d} --until {happened:%Y-%m-%d} --detach")
    assert "of hourly_job, 1 partition" in run.out


def test_a_range_without_partitions_is_an_error(radar: Radar, platform: Platform) -> None:
    run = radar(f"backfill hourly_job --since {day(0)} --until {day(-1)}")
    assert run.code == 2
    assert f"no partitions from {day(0)} to {day(-1)}" in run.err
