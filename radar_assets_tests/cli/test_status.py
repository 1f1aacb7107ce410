"""`radar status` shows tables, stale partitions and failed checks."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
import time_machine

from radar_assets.access.projects import ensure_projects
from radar_assets.events.landing import list_hours
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.tables import TABLES
from radar_assets.windows import hour_key
from radar_assets_tests.cli.conftest import HOUR, Radar, cells, land
from radar_assets_tests.platform import Platform, event, instance_of, line, save_cursor

MAX_MODULES = 2200


def test_a_fresh_home_has_empty_tables_and_stale_landed_hours(radar: Radar, settings: Settings) -> None:
    land(settings, [line(event("1", HOUR))], "a")
    run = radar("status")
    assert run.code == 0
    assert cells(run.out)["raw_events"] == ["none", "0", "0 B", "never", "1"]
    assert cells(run.out)["daily_metrics"][-1] == "0"
    assert "No failed checks" in run.out


@pytest.mark.usefixtures("in_shop")
def test_tables_are_shown_with_their_last_partition_and_rows(radar: Radar) -> None:
    run = radar("status")
    table = cells(run.out)
    assert table["raw_events"][:2] == [hour_key(HOUR), "8"]
    assert table["events"][:2] == [hour_key(HOUR), "3"]
    assert table["rejected_events"][1] == "4"
    assert table["sessions"][:2] == [f"{HOUR:%Y-%m-%d}", "1"]
    assert {table[name][-1] for name in TABLES} == {"0"}


@pytest.mark.usefixtures("in_shop")
def test_a_failed_check_is_shown_with_its_window(radar: Radar) -> None:
    failed = [text for text in radar("status").out.splitlines() if text.startswith("warning")]
    assert len(failed) == 1
    assert "check share_of_rejected_lines_is_within_bounds of raw_events" in failed[0]
    assert f"{HOUR:%Y-%m-%d %H:%M} to {HOUR + timedelta(hours=1):%Y-%m-%d %H:%M} UTC" in failed[0]


@time_machine.travel("2026-11-02T08:30:00Z", tick=False)
def test_the_dates_of_the_projects_are_shown_if_they_are_not_those_of_utc(radar: Radar, settings: Settings) -> None:
    store = open_store(settings.database)
    ensure_projects(store, [Project("a"), Project("b")])
    assert "Today is" not in radar("status").out
    zones = ("Pacific/Honolulu", "Europe/Berlin", "Asia/Tokyo", "Asia/Kathmandu", "America/New_York")
    ensure_projects(store, [Project(zone, timezone=zone) for zone in zones])
    assert (
        """
Days are those of the projects' time zones. Today is
  2026-11-01 in Pacific/Honolulu
  2026-11-02 in America/New_York, Asia/Kathmandu, Asia/Tokyo, 2 more
"""
        in radar("status").out
    )
    store.close()


def test_hours_that_the_sensor_has_settled_are_not_looked_at_again(radar: Radar, settings: Settings) -> None:
    """Landing zones have thousands of hours, and their tables millions of rows."""

    def stale_hours(cursor: str) -> str:
        with instance_of(settings) as instance:
            save_cursor(instance, "landing_sensor", cursor)
        return cells(radar("status").out)["raw_events"][-1]

    land(settings, [line(event("1", HOUR))], "a")
    land(settings, [line(event("2", HOUR))], "b", HOUR - timedelta(hours=1))
    landed_at = [*list_hours(settings.landing).values()]
    assert stale_hours(f"{min(landed_at)} landing") == "2"
    assert stale_hours(f"{max(landed_at)} landing") == "1"
    assert stale_hours(f"{max(landed_at) + 1} landing") == "0"
    assert stale_hours(f"{max(landed_at) + 1} landing@before-a-recovery") == "2"


def test_failed_attempts_and_the_next_one_are_shown(radar: Radar, settings: Settings) -> None:
    land(settings, [line(event("1", HOUR))], "a")
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        (request,) = platform.tick("landing_sensor")
        folder = settings.home / "warehouse/radar/hourly_metrics/data"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where a folder belongs")
        assert not platform.execute("hourly_job", request, raise_on_error=False).success
        folder.unlink()
    (shown,) = [text for text in radar("status").out.splitlines() if text.startswith("retry")]
    assert f"hourly_metrics: {hour_key(HOUR)}, 1 attempt failed, next" in shown
    rows = json.loads(radar("status --format json").out)
    (retry,) = next(row for row in rows if row["table"] == "hourly_metrics")["retries"]
    assert (retry["partitions"], retry["attempts"]) == ([hour_key(HOUR)], 1)


@pytest.mark.usefixtures("in_shop")
def test_it_imports_only_what_it_needs() -> None:
    """Imports are most of its time. Timings depend on other load; the number of modules does not."""
    script = """
import sys
from radar_assets.cli import main
try:
    main(["status"])
except SystemExit as end:
    print(end.code, *sys.modules, file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *modules = run.stderr.splitlines()[-1].split()
    assert code == "0"
    assert {"dagster", "pyiceberg", "duckdb"} <= {*modules}
    assert not {"pandas", "pyarrow.dataset", "pyiceberg.io.pyarrow", "sqlglot", "jinja2"} & {*modules}
    assert len(modules) < MAX_MODULES
