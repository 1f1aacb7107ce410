"""Damaged tables, old backups and a lost warehouse: the platform heals by itself and ends with what it had."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from radar_assets.lakehouse import snapshot as snapshots
from radar_assets.lakehouse.files import local_path_of
from radar_assets.operations.backup import BackupError, back_up, processes_using, restore
from radar_assets.orchestration import automation
from radar_assets.orchestration.checks import View, recovery_check
from radar_assets.orchestration.runtime.instance import dagster_home
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window
from radar_assets_tests.collector.processes import collecting
from radar_assets_tests.platform import Platform, event

DAY = datetime(2026, 11, 2)
HOURS = [DAY + timedelta(hours=hour) for hour in (9, 10)]


@pytest.fixture(autouse=True)
def days_need_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days are otherwise rebuilt at most every 15 minutes."""
    monkeypatch.setattr(automation, "REFRESH_EVERY", {"hour": timedelta(0), "day": timedelta(0)})


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    # Otherwise all days until today would be built as well.
    with time_machine.travel(DAY + timedelta(days=1), tick=True), dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


def visits(prefix: str, hour: datetime, count: int = 20) -> list[dict[str, object]]:
    moments = (hour + timedelta(seconds=number) for number in range(count))
    return [event(f"{prefix}{at:%H%M%S}", at, anonymous_id=f"{prefix}{at:%S}") for at in moments]


def load(platform: Platform, prefix: str) -> None:
    """Two hours of events, the latter with late ones of the former, through the whole graph."""
    platform.land(HOURS[0], visits(prefix, HOURS[0]), f"{prefix}-first")
    platform.land(HOURS[1], [*visits(prefix, HOURS[1]), *visits(f"late-{prefix}", HOURS[0])], f"{prefix}-second")
    platform.settle()


def opened_anew(platform: Platform) -> Platform:
    """The platform after a restart, with the cursors and run keys that the daemon has kept."""
    snapshots._manifests.clear()
    return Platform(platform.settings, platform.instance, cursors=platform.cursors, seen=platform.seen)


def metadata_of(platform: Platform, table: str) -> Path:
    return Path(local_path_of(platform.lakehouse.snapshot(table).iceberg.metadata_location))


def newest_data_of(platform: Platform, table: str) -> Path:
    found = platform.lakehouse.snapshot(table).files()
    return Path(max((ref for ref in found if ref.rows), key=lambda ref: ref.sequence_number).local_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"raw_events": metadata_of, "events": newest_data_of},
        {"hourly_metrics": metadata_of, "sessions": newest_data_of, "rejected_events": metadata_of},
    ],
    ids=["inputs", "results"],
)
def test_damaged_tables_are_built_again_from_the_landing_zone(
    damage: dict[str, Callable[[Platform, str], Path]], platform: Platform
) -> None:
    load(platform, "a")
    expected = platform.tables()
    for table, part in damage.items():
        part(platform, table).write_bytes(b"")
    after = opened_anew(platform)
    assert after.tables() != expected
    assert after.settle()
    assert after.tables() == expected
    for table in after.lakehouse.tables:
        view = View(after.lakehouse, {table: after.lakehouse.snapshot(table)}, Window.of_day(DAY.date()))
        assert (recovery_check(after.lakehouse.tables[table]).find(view).num_rows == 1) == (table in damage)


def test_an_old_database_beside_a_newer_warehouse_loses_nothing(platform: Platform, tmp_path: Path) -> None:
    back_up(platform.settings, tmp_path / "backup")
    load(platform, "a")
    expected = platform.tables()
    restore(platform.settings, tmp_path / "backup", open_lakehouse(platform.settings))
    after = opened_anew(platform)
    assert after.tables() == expected
    after.land(HOURS[1], visits("b", HOURS[1]), "b")
    after.settle()
    assert len(after.rows("events")) == len(expected["events"]) + 20
    assert sum(row["events"] for row in after.rows("sessions")) == len(after.rows("events"))


def test_a_backup_is_complete_or_absent_and_restored_only_when_nothing_runs(settings: Settings, tmp_path: Path) -> None:
    with collecting(settings.home) as running:
        backup = tmp_path / "backup"
        files = back_up(settings, backup)
        assert {path.name for path in files} >= {"radar.db", "backup.json"}
        with pytest.raises(BackupError, match="exists already"):
            back_up(settings, backup)
        assert running.pid in processes_using(settings)
        with pytest.raises(BackupError, match=f"running .*{running.pid}.*stop it first"):
            restore(settings, backup, open_lakehouse(settings))
        running.store.close()
    (backup / "backup.json").unlink()
    with pytest.raises(BackupError, match="not a backup"):
        restore(settings, backup, open_lakehouse(settings))
    assert not dagster_home(settings).with_name("replaced").exists()
