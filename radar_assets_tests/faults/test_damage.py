"""Damaged tables, old backups and a lost warehouse: the platform heals by itself and ends with what it had."""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from radar_assets.lakehouse import snapshot as snapshots
from radar_assets.lakehouse.files import local_path_of
from radar_assets.operations.backup import BackupError, back_up, processes_using, restore
from radar_assets.orchestration.runtime.instance import dagster_home
from radar_assets.settings import Settings, load_settings
from radar_assets.tables import open_lakehouse
from radar_assets_tests.collector.processes import collecting
from radar_assets_tests.platform import Platform, event, instance_of

DAY = datetime(2026, 11, 2)
HOURS = [DAY + timedelta(hours=hour) for hour in (9, 10)]


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with instance_of(settings) as instance:
        yield Platform(settings, instance)


def visits(prefix: str, hour: datetime, count: int = 20) -> list[dict[str, object]]:
    moments = (hour + timedelta(seconds=number) for number in range(count))
    return [event(f"{prefix}{at:%H%M%S}", at, anonymous_id=f"{prefix}{at:%S}") for at in moments]


def load(platform: Platform, prefix: str) -> None:
    """Two hours of events, the latter with late ones of the former, through the whole graph."""
    platform.land(HOURS[0], visits(prefix, HOURS[0]), f"{prefix}-first")
    platform.settle()
    platform.land(HOURS[1], [*visits(prefix, HOURS[1]), *visits(f"late-{prefix}", HOURS[0])], f"{prefix}-second")
    platform.settle()


def opened_anew(platform: Platform) -> Platform:
    """The platform after a restart, with the cursors and run keys that the daemon has kept."""
    snapshots._manifests.clear()
    return Platform(platform.settings, platform.instance, platform.cursors, platform.seen)


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
    result = after.rebuild("hourly_job", f"{DAY:%Y-%m-%d}-09:00", f"{DAY:%Y-%m-%d}-10:00")
    verdicts = {
        check.asset_key.to_user_string(): check.passed
        for check in result.get_asset_check_evaluations()
        if check.check_name == "files_are_intact"
    }
    assert {table for table, passed in verdicts.items() if not passed} == damage.keys() & verdicts.keys()


def test_a_restored_backup_opens_and_loads_what_it_lacks(platform: Platform, tmp_path: Path) -> None:
    load(platform, "a")
    backup, cursors, seen = tmp_path / "backup", dict(platform.cursors), set(platform.seen)
    back_up(platform.settings, backup)
    load(platform, "b")
    platform.land(HOURS[1], visits("c", HOURS[1]), "not-loaded-yet")
    restore(platform.settings, backup, open_lakehouse(platform.settings))
    platform.cursors, platform.seen = cursors, seen
    with instance_of(platform.settings) as instance:
        assert len(instance.get_run_ids()) > 0
        after = opened_anew(platform)
        after.instance = instance
        after.settle()
        restored = after.tables()
    assert restored == rebuilt(platform.settings)


def test_a_lost_warehouse_is_loaded_again_after_a_repair(platform: Platform) -> None:
    load(platform, "a")
    expected = platform.tables()
    shutil.rmtree(local_path_of(platform.settings.warehouse))
    for name in platform.lakehouse.tables:
        opened_anew(platform).lakehouse.catalog.recover(name, start_over=True)
    after = opened_anew(platform)
    after.settle()
    assert after.tables() == expected


def rebuilt(settings: Settings) -> dict[str, list[dict[str, object]]]:
    """The tables of a new home with the same landing zone."""
    fresh = load_settings(home=settings.home.parent / "rebuilt").prepare()
    shutil.copytree(settings.landing, fresh.landing, dirs_exist_ok=True)
    # Dagster's instance of the other home is enough: this platform has its own cursors.
    with instance_of(settings) as instance:
        platform = Platform(fresh, instance)
        platform.settle()
        return platform.tables()


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
