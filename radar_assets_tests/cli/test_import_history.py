"""`radar import --build`: history is loaded and built in order, costs what its events cost, and survives kills."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.orchestration.run_requests import LONGEST_RUN
from radar_assets.orchestration.runtime.instance import dagster_home
from radar_assets.settings import Settings, load_settings
from radar_assets.tables import TABLES, open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.patience import eventually
from radar_assets_tests.platform import instance_of

FIRST = datetime(2026, 3, 1, 9)
OPTIONS = "--format csv --project shop --set event=purchase --build"
DAILY = ("sessions", "daily_metrics", "daily_breakdowns")
KILL_S = 240
DAYS = LONGEST_RUN["day"] + 14
"""Days of the import that is killed: two batches, of which the first one is built before the kill."""


def orders(path: Path, moments: list[datetime], *, is_received: bool = True) -> str:
    """The command that imports and builds a file with an order at each moment."""
    lines = [
        f"{number},customer-{number // 3 % 7},{at.isoformat()}Z,{at.isoformat()}Z" for number, at in enumerate(moments)
    ]
    path.write_text(
        "\n".join([f"event_id,user_id,timestamp,{'received_at' if is_received else 'shipped'}", *lines, ""])
    )
    return f"import '{path}' {OPTIONS}"


def rows(settings: Settings, table: str, sql: str = "select * from {table}") -> list[dict[str, Any]]:
    lakehouse = open_lakehouse(settings)
    model = SqlModel(table, f"select * from ({sql.format(table=table)}) order by all")
    return lakehouse.engine.query(model, {table: Files.of(lakehouse.snapshot(table))}).to_pylist()


def built_days(settings: Settings, table: str = "daily_metrics") -> list[datetime]:
    snapshot = open_lakehouse(settings).snapshot(table)
    return sorted({from_unit(ref.partition[0] or 0, "day") for ref in snapshot.files()})


def complete_days(settings: Settings) -> list[datetime]:
    """The days that all daily tables have."""
    if not dagster_home(settings).exists():
        return []
    return sorted(set.intersection(*({*built_days(settings, table)} for table in DAILY)))


def events_of_runs(settings: Settings) -> Counter[str]:
    """The events in Dagster's storage by type, without those about steps and checks, whose number depends on the runs alone."""
    log = dagster_home(settings) / "storage/history/runs/index.db"
    with closing(sqlite3.connect(log)) as connection:
        return Counter(dict(connection.execute("select dagster_event_type, count(*) from event_logs group by 1")))


def data_files(settings: Settings) -> int:
    return sum(1 for _ in (settings.home / "warehouse").rglob("*.parquet"))


@pytest.fixture(scope="module")
def moments() -> list[datetime]:
    """480 hours, of which 20 have orders, three each."""
    return [FIRST + day * DAY + minutes * timedelta(minutes=1) for day in range(20) for minutes in (0, 1, 20)]


def test_hours_without_events_cost_nothing(
    radar: Radar, settings: Settings, tmp_path: Path, moments: list[datetime]
) -> None:
    """Before, each had a file in each table, and six rows in Dagster's storage."""
    run = radar(orders(tmp_path / "orders.csv", moments))
    assert run.code == 0, run.err
    assert "Built 140 partitions." in run.out
    kinds = events_of_runs(settings)
    assert kinds["ASSET_MATERIALIZATION"] == 20 * len(TABLES) - 20
    assert kinds["ASSET_MATERIALIZATION_PLANNED"] == 20 * len(TABLES) - 20
    assert kinds["PIPELINE_SUCCESS"] == 2
    assert data_files(settings) == 20 * len(TABLES) - 20, "in rejected_events, one for each hour that has lines"
    assert len(rows(settings, "events")) == len(moments)
    values = rows(
        settings, "daily_metrics", "select value from {table} where metric = 'events' and project_id = 'shop'"
    )
    assert [row["value"] for row in values] == [3.0] * 20

    again = radar(f"import '{tmp_path / 'orders.csv'}' {OPTIONS}")
    assert "Everything was built before." in again.out
    assert events_of_runs(settings) == kinds


def test_days_without_events_are_built_as_far_as_the_file_goes(
    radar: Radar, settings: Settings, tmp_path: Path
) -> None:
    moments = [FIRST, FIRST + 2 * DAY, FIRST + 45 * DAY]
    assert radar(orders(tmp_path / "orders.csv", moments)).code == 0
    midnight = Window.of_day(FIRST.date()).start
    for table in DAILY:
        assert built_days(settings, table) == [midnight + day * DAY for day in range(46)]


def test_events_received_today_are_built_when_they_happened(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    moments = [FIRST, FIRST + 5 * HOUR, FIRST + 3 * DAY]
    run = radar(orders(tmp_path / "orders.csv", moments, is_received=False))
    assert run.code == 0, run.err
    assert [row["event_time"] for row in rows(settings, "events")] == moments
    midnight = Window.of_day(FIRST.date()).start
    assert built_days(settings) == [midnight + day * DAY for day in range(4)]
    assert {row["hour"] for row in rows(settings, "hourly_metrics")} == {
        at.replace(minute=0, second=0) for at in moments
    }


def test_an_import_that_is_killed_goes_on(
    radar: Radar, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days are right as soon as they appear, also the last ones before the kill, whose visits go on over midnight."""
    moments = [FIRST + day * DAY + hours * HOUR for day in range(DAYS) for hours in (0, 14.9, 15.2)]
    command = orders(tmp_path / "orders.csv", moments)
    script = "import shlex, sys; from radar_assets.cli import main; main(shlex.split(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", script, command], stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: complete_days(settings), KILL_S)
        finally:
            process.kill()
    with instance_of(settings) as instance:
        before = events_of_runs(settings)["PIPELINE_SUCCESS"]
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.FAILED
    # It may have been killed in any step of a later run.
    early = {table: rows(settings, table) for table in DAILY}
    days = complete_days(settings)
    assert before
    assert 0 < len(days) < DAYS

    assert radar(command).code == 0
    resumed = {table: rows(settings, table) for table in TABLES}
    for table, found in early.items():
        ended = [row for row in found if _day(row) in days]
        assert ended == [row for row in resumed[table] if _day(row) in days], table
    assert len(built_days(settings)) == DAYS + 1

    monkeypatch.setenv("RADAR_HOME", str(tmp_path / "other"))
    assert radar(command).code == 0
    other = load_settings()
    assert {table: _comparable(rows(other, table)) for table in TABLES} == {
        table: _comparable(found) for table, found in resumed.items()
    }


def _day(row: dict[str, Any]) -> datetime:
    date = row.get("date") or row["started_at"].date()
    return datetime(date.year, date.month, date.day)


def _comparable(found: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in found)
