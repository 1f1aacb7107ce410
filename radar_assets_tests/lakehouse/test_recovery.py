"""Commits are on disk before the catalog points at them, and a table whose files are damaged falls back by itself."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from radar_assets.calendar import Calendar
from radar_assets.lakehouse import snapshot as snapshots
from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import FileRef, Origin, local_path_of
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.recoveries import DamagedTableError
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import stale
from radar_assets.settings import Settings
from radar_assets.store.database import open_engine
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write

TABLE = "hourly_metrics"
HOURS = [Window.of_hour(DAY + hour * HOUR) for hour in range(24)]


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


def opened_anew(lakehouse: Lakehouse) -> Lakehouse:
    """The lakehouse as another process opens it."""
    snapshots._manifests.clear()
    return open_lakehouse(lakehouse.settings)


def newest_file(snapshot: Snapshot) -> FileRef:
    return max(snapshot.files(), key=lambda ref: ref.sequence_number)


def metadata(snapshot: Snapshot) -> Path:
    return Path(local_path_of(snapshot.iceberg.metadata_location))


def manifest_list(snapshot: Snapshot) -> Path:
    current = snapshot.iceberg.current_snapshot()
    assert current
    return Path(local_path_of(current.manifest_list))


def manifest(snapshot: Snapshot) -> Path:
    newest = max(snapshot.manifests(), key=lambda one: one.sequence_number)
    return Path(local_path_of(newest.manifest_path))


def data_file(snapshot: Snapshot) -> Path:
    return Path(newest_file(snapshot).local_path)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def test_a_commit_is_on_disk_before_the_catalog_points_at_it(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    for hour in HOURS[:3]:
        write(lakehouse, hour, 1)
    snapshot = lakehouse.snapshot(TABLE)
    written = {Path(ref.local_path) for ref in snapshot.files()}
    written |= {Path(local_path_of(one.manifest_path)) for one in snapshot.manifests()}
    written |= {manifest_list(snapshot), metadata(snapshot)}
    warehouse = Path(local_path_of(lakehouse.settings.warehouse))
    folders = {folder for path in written for folder in path.parents if folder.is_relative_to(warehouse)}
    assert len(folders) > 5
    assert {str(path) for path in written | folders} <= synced


@pytest.mark.parametrize("damage", [remove, empty, truncate])
@pytest.mark.parametrize("part", [metadata, manifest_list, manifest, data_file])
def test_a_damaged_head_falls_back_to_the_state_before_it(
    part: Callable[[Snapshot], Path],
    damage: Callable[[Path], None],
    lakehouse: Lakehouse,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for value, hour in enumerate(HOURS[:3]):
        write(lakehouse, hour, value)
    before = read(lakehouse)
    lost = write(lakehouse, HOURS[1], 9).sequence_number
    damage(part(lakehouse.snapshot(TABLE)))
    after = opened_anew(lakehouse)
    with caplog.at_level(logging.ERROR):
        assert read(after) == before
    assert "hourly_metrics was recovered" in caplog.text
    (recovery,) = after.snapshot(TABLE).recoveries
    assert recovery.first <= lost <= recovery.last
    assert write(after, HOURS[4], 4).sequence_number > lost
    assert len(read(opened_anew(after))) == 4 * 3


def test_an_older_file_that_is_lost_is_dropped_with_its_window_and_nothing_else(lakehouse: Lakehouse) -> None:
    write(lakehouse, Window(DAY, DAY + 24 * HOUR), 1)
    for value in range(25):
        write(lakehouse, HOURS[20], value)
    old = next(ref for ref in lakehouse.snapshot(TABLE).files(HOURS[3]) if ref.rows)
    remove(Path(old.local_path))
    after = opened_anew(lakehouse)
    with pytest.raises(DamagedTableError, match="built again"):
        after.snapshot(TABLE).files()
    assert sorted({hour for hour, _, _ in read(after)}) == [window.start for window in HOURS if window != HOURS[3]]
    assert len(after.snapshot(TABLE).recoveries) == 1


def test_a_build_that_meets_a_damaged_file_is_made_again_without_it(lakehouse: Lakehouse) -> None:
    write(lakehouse, Window(DAY, DAY + 24 * HOUR), 1)
    for value in range(25):
        write(lakehouse, HOURS[20], value)
    remove(Path(next(ref for ref in lakehouse.snapshot(TABLE).files(HOURS[3]) if ref.rows).local_path))
    after = opened_anew(lakehouse)

    def build(base: Snapshot) -> Build:
        base.files()
        return Build(build_files(after, HOURS[3], 5), {HOURS[3]: Origin()})

    after.catalog.commit(TABLE, build)
    assert len(read(after)) == 24 * 3


def test_what_was_built_from_a_lost_state_is_stale(lakehouse: Lakehouse) -> None:
    write(lakehouse, HOURS[0], 1)
    write(lakehouse, HOURS[0], 2)
    parent = lakehouse.snapshot(TABLE)
    write_child(lakehouse, parent.sequence_number)
    assert not stale(parent, lakehouse.snapshot("alerts"), Calendar({}))
    remove(metadata(parent))
    after = opened_anew(lakehouse)
    unit = next(iter(stale(after.snapshot(TABLE), after.snapshot("alerts"), Calendar({}))))
    # The next commit must not look like the one that was lost.
    write(after, HOURS[0], 3)
    assert unit in stale(after.snapshot(TABLE), after.snapshot("alerts"), Calendar({}))
    write_child(after, after.snapshot(TABLE).sequence_number)
    assert not stale(after.snapshot(TABLE), after.snapshot("alerts"), Calendar({}))


def write_child(lakehouse: Lakehouse, built_from: int) -> None:
    """Build the first hour of a table of the same grid, without rows."""
    lakehouse.catalog.commit("alerts", lambda _: Build([], {HOURS[0]: Origin(built_from)}))


@pytest.mark.parametrize("commits", [1, 15, 45])
def test_a_restored_database_opens_the_tables_at_their_newest_state(
    commits: int, lakehouse: Lakehouse, request: pytest.FixtureRequest
) -> None:
    commits *= int(str(request.config.getoption("--restored-commits")))
    write(lakehouse, Window(DAY, DAY + 24 * HOUR), 0)
    database = lakehouse.settings.home / "radar.db"
    backup = lakehouse.settings.home.parent / "backup.db"
    copy(database, backup)
    for value in range(1, commits + 1):
        write(lakehouse, HOURS[value % 24], value)
    newest, number = read(lakehouse), lakehouse.snapshot(TABLE).sequence_number
    copy(backup, database)
    after = opened_anew(lakehouse)
    assert read(after) == newest
    (recovery,) = after.snapshot(TABLE).recoveries
    assert f"{commits} commits older" in recovery.reason or "missing" in recovery.reason
    assert recovery.last < recovery.first
    assert write(after, HOURS[0], -1).sequence_number > number
    assert len(read(opened_anew(after))) == 24 * 3


@pytest.mark.parametrize("has_hint", [True, False])
def test_a_table_that_the_catalog_has_lost_is_opened_at_its_newest_state(has_hint: bool, lakehouse: Lakehouse) -> None:
    for value in range(15):
        write(lakehouse, HOURS[value % 4], value)
    newest, number = read(lakehouse), lakehouse.snapshot(TABLE).sequence_number
    folder = metadata(lakehouse.snapshot(TABLE)).parent
    for path in lakehouse.settings.home.glob("radar.db*"):
        path.unlink()
    if not has_hint:
        (folder / "version-hint.text").unlink()
    after = opened_anew(lakehouse)
    assert read(after) == newest
    (recovery,) = after.snapshot(TABLE).recoveries
    assert recovery.reason == "the catalog had lost the table"
    assert recovery.last < recovery.first
    assert write(after, HOURS[0], -1).sequence_number > number


def copy(source: Path, target: Path) -> None:
    """Copy a database with the online backup of SQLite."""
    import sqlite3

    source_db, target_db = sqlite3.connect(source), sqlite3.connect(target)
    source_db.backup(target_db)
    source_db.close()
    target_db.close()


def test_a_warehouse_that_is_not_mounted_is_an_error_and_not_a_reason_to_start_over(lakehouse: Lakehouse) -> None:
    write(lakehouse, HOURS[0], 1)
    number = write(lakehouse, HOURS[0], 2).sequence_number
    folder = lakehouse.catalog.data_folder(lakehouse.tables[TABLE]).parent
    aside = folder.with_name("aside")
    shutil.move(folder, aside)
    with pytest.raises(DamagedTableError, match="warehouse is mounted"):
        opened_anew(lakehouse).snapshot(TABLE)
    shutil.move(aside, folder)
    assert len(read(opened_anew(lakehouse))) == 3
    shutil.rmtree(folder)
    after = opened_anew(lakehouse)
    assert after.catalog.recover(TABLE, start_over=True)
    assert read(after) == []
    assert after.snapshot(TABLE).is_lost(number)
    assert write(after, HOURS[0], 3).sequence_number > number


def test_the_catalog_waits_for_the_disk(lakehouse: Lakehouse) -> None:
    engine = open_engine(lakehouse.settings.database)
    for one in (engine, lakehouse.catalog._catalog.engine):
        with one.connect() as connection:
            assert connection.exec_driver_sql("pragma synchronous").scalar() == 2
    engine.dispose()
