"""`radar upgrade` lists and rebuilds what earlier definitions of the tables have built, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from radar_assets.cli.upgrade import outdated_partitions
from radar_assets.events.tables import EVENTS, RAW_EVENTS, SESSIONS
from radar_assets.lakehouse.table import Table
from radar_assets.operations.compaction import compact
from radar_assets.orchestration.automation import INCREMENTAL
from radar_assets.settings import Settings
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, Window, utc_now
from radar_assets_tests.cli.conftest import Radar
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.platform import Platform, event

DATE = (utc_now() - DAY).date()
"""Recent, because the daemon also builds all days until today."""
NOON = Window.of_day(DATE).start + timedelta(hours=12)
RADAR = {"module_name": "radar_assets.definitions"}


@contextmanager
def at_version(version: int, *tables: Table) -> Iterator[None]:
    """Build with another version of tables, as an earlier release of Radar does."""
    before = {table.name: table.version for table in tables}
    for table in tables:
        object.__setattr__(table, "version", version)
    yield
    for table in tables:
        object.__setattr__(table, "version", before[table.name])


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    """Two hours and their day: the first hour as the definitions before built it, its day as well."""
    with monitored_instance(settings) as instance:
        platform = Platform(settings, instance)
        with at_version(0, RAW_EVENTS, EVENTS, SESSIONS):
            platform.land(NOON, [event("1", NOON)], "a")
            platform.rebuild("hourly_job", f"{DATE}-12:00", f"{DATE}-12:00")
            platform.rebuild("daily_job", f"{DATE}", f"{DATE}")
        platform.land(NOON + timedelta(hours=2), [event("2", NOON + timedelta(hours=2))], "b")
        platform.rebuild("hourly_job", f"{DATE}-14:00", f"{DATE}-14:00")
        yield platform


def test_partitions_of_earlier_definitions_are_listed_and_rebuilt(
    radar: Radar, terminal: Radar, platform: Platform, tmp_path: Path
) -> None:
    run = radar("upgrade --dry-run")
    assert run.code == 0
    current = EVENTS.version
    assert f"events: 1 hour of an earlier version, {DATE} 12:00; now version {current}" in run.out
    assert f"sessions: 1 day of an earlier version, {DATE}; now version {SESSIONS.version}" in run.out
    assert "hourly_metrics" not in run.out
    assert "were built by an earlier definition" in radar("doctor").out
    assert radar("upgrade").code == 2
    assert "Nothing was queued." in terminal("upgrade", answer="n").out
    with daemon(platform.instance, tmp_path, [RADAR]) as process:
        while not platform.instance.get_daemon_heartbeats():
            assert process.poll() is None
        run = radar("upgrade --yes")
        assert run.code == 0, run.err
        assert "hourly_job: 1 of 1 partition" in run.out
    assert outdated_partitions(platform.lakehouse) == {}
    assert radar("upgrade").out == "All partitions were built by the current definitions.\n"
    assert [row["event_id"] for row in platform.rows("events")] == ["1", "2"]


def test_compaction_keeps_the_version_of_what_it_merges(platform: Platform) -> None:
    with at_version(0, RAW_EVENTS):
        platform.land(NOON, [event("3", NOON)], "c")
        platform.rebuild("hourly_job", f"{DATE}-12:00", f"{DATE}-12:00", tags=INCREMENTAL)
    before = outdated_partitions(platform.lakehouse)
    assert compact(platform.lakehouse, "raw_events", NOON + timedelta(days=1)).merged == 2
    assert outdated_partitions(platform.lakehouse) == before


def test_versions_are_whole_numbers_from_1() -> None:
    assert all(table.version >= 1 for table in TABLES.values())
