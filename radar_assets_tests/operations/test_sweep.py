"""The sweep deletes what no snapshot has reached for the grace period, and nothing else."""

import json
import logging
import os
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pyiceberg.table import StaticTable

from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import Origin
from radar_assets.lakehouse.history import SnapshotExpiredError, kept_metadata
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.pins import list_pins, pin, unpin
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.operations import sweep as sweeping
from radar_assets.operations.maintenance import maintain
from radar_assets.operations.sweep import SweepError, sweep
from radar_assets.settings import Settings, load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window, utc_now
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write

WINDOW = Window(DAY, DAY + 4 * HOUR)
COMMITS = 60
NOTHING, GRACE = timedelta(0), timedelta(hours=24)


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


@pytest.fixture
def rebuilt(lakehouse: Lakehouse) -> Lakehouse:
    """A table whose four hours were rebuilt many times."""
    for value in range(COMMITS):
        write(lakehouse, WINDOW, value)
    return lakehouse


def later() -> datetime:
    """A time when the settings keep only the latest states of what was committed until now."""
    return utc_now() + timedelta(days=30)


def folder_of(lakehouse: Lakehouse) -> Path:
    return lakehouse.catalog.data_folder(lakehouse.tables["hourly_metrics"]).parent


def files_of(lakehouse: Lakehouse) -> set[Path]:
    return {path for path in folder_of(lakehouse).rglob("*") if path.is_file()}


def reached(lakehouse: Lakehouse) -> set[Path]:
    """The files that the snapshots of the current metadata reach, and the latest ones of kept metadata, as pyiceberg finds them."""
    found: set[Path] = set()
    for index, location in enumerate(kept_metadata(lakehouse, lakehouse.tables["hourly_metrics"], later())):
        table = StaticTable.from_metadata(location)
        found.add(Path(location.removeprefix("file://")))
        for snapshot in table.snapshots()[-1 if index else 0 :]:
            found.add(Path(snapshot.manifest_list.removeprefix("file://")))
            for manifest in snapshot.manifests(table.io):
                found.add(Path(manifest.manifest_path.removeprefix("file://")))
                for entry in manifest.fetch_manifest_entry(table.io):
                    found.add(Path(entry.data_file.file_path.removeprefix("file://")))
    return found


def test_what_remains_is_what_snapshots_reach(rebuilt: Lakehouse) -> None:
    before, expected = files_of(rebuilt), reached(rebuilt)
    assert len(before) > len(expected) + COMMITS
    rows = read(rebuilt)

    planned = sweep(rebuilt, "hourly_metrics", later(), NOTHING, dry_run=True)
    assert files_of(rebuilt) == before
    swept = sweep(rebuilt, "hourly_metrics", later(), NOTHING)
    remaining = files_of(rebuilt)
    assert swept == planned
    folder = folder_of(rebuilt)
    assert remaining - expected == {folder / "unreached.json", folder / "metadata" / "version-hint.text"}
    assert expected <= remaining
    assert swept.live.files + swept.kept.files == len(expected)
    assert swept.live.size_bytes + swept.kept.size_bytes == sum(path.stat().st_size for path in expected)
    assert swept.deleted.files == len(before) - len(expected) - 1
    assert not [
        path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir()) and path.name != "empty"
    ]
    assert read(rebuilt) == rows
    assert read(open_lakehouse(rebuilt.settings)) == rows


def test_files_stay_for_the_grace_period_after_they_were_last_reached(rebuilt: Lakehouse) -> None:
    """The age of a file alone would not do: an old file may have been replaced just now, and still be read."""
    before, now = files_of(rebuilt), later()
    for path in before:
        os.utime(path, (0, 0))
    first = sweep(rebuilt, "hourly_metrics", now, GRACE)
    assert first.deleted.files == 0
    assert first.unreached.files > COMMITS
    for hours in (1, 12, 23):
        write(rebuilt, WINDOW, hours)  # so that earlier states are not kept for long
        assert sweep(rebuilt, "hourly_metrics", now + timedelta(hours=hours), GRACE).deleted.files == 0
    assert files_of(rebuilt) >= {path for path in before if not path.name.endswith(".metadata.json")}
    last = sweep(rebuilt, "hourly_metrics", now + timedelta(hours=24), GRACE)
    assert last.deleted.files >= first.unreached.files


def test_the_files_of_a_pin_stay_for_the_grace_period_after_it_is_removed(rebuilt: Lakehouse) -> None:
    at, now = rebuilt.snapshot("hourly_metrics").committed_at, later()
    pin(rebuilt, "reading", ["hourly_metrics"], at)
    for value in range(COMMITS):
        write(rebuilt, WINDOW, -value)
    sweep(rebuilt, "hourly_metrics", now, GRACE)
    sweep(rebuilt, "hourly_metrics", now + 2 * GRACE, GRACE)
    reading = rebuilt.catalog.snapshot("hourly_metrics", "reading")
    unpin(rebuilt, "reading", ["hourly_metrics"])
    for hours in (0, 23):
        sweep(rebuilt, "hourly_metrics", now + 2 * GRACE + hours * HOUR, GRACE)
        assert {value for _, _, value in read(rebuilt, reading)} == {COMMITS - 1}
    assert sweep(rebuilt, "hourly_metrics", now + 3 * GRACE, GRACE).deleted.files > 0


def test_a_snapshot_whose_files_are_deleted_before_it_is_pinned_gets_no_pin(
    rebuilt: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = rebuilt.snapshot("hourly_metrics").committed_at
    for value in range(COMMITS):
        write(rebuilt, WINDOW, -value)
    amend = rebuilt.catalog.amend

    def sweep_first(*given: Any) -> None:
        sweep(open_lakehouse(rebuilt.settings), "hourly_metrics", later(), NOTHING)
        amend(*given)

    monkeypatch.setattr(rebuilt.catalog, "amend", sweep_first)
    with pytest.raises(SnapshotExpiredError, match="missing or damaged"):
        pin(rebuilt, "late", ["hourly_metrics"], at)
    assert list_pins(rebuilt, ["hourly_metrics"]) == []


def test_if_all_states_of_the_grace_period_are_kept_the_age_of_a_file_decides(lakehouse: Lakehouse) -> None:
    for value in range(3):
        write(lakehouse, WINDOW, value)
    left_by_a_killed_run = build_files(lakehouse, WINDOW, 9.0)
    early, late = utc_now() + timedelta(hours=23), utc_now() + timedelta(hours=25)
    assert sweep(lakehouse, "hourly_metrics", early, GRACE).deleted.files == 0
    assert sweep(lakehouse, "hourly_metrics", late, GRACE).deleted.files == len(left_by_a_killed_run) == 4
    assert {value for _, _, value in read(lakehouse)} == {2}


def test_files_of_a_run_that_has_not_committed_yet_are_kept(lakehouse: Lakehouse) -> None:
    write(lakehouse, WINDOW, 1.0)

    def build(_: Snapshot) -> Build:
        files = build_files(lakehouse, WINDOW, 2.0)
        sweep(open_lakehouse(lakehouse.settings), "hourly_metrics", utc_now() + timedelta(hours=3), timedelta(hours=4))
        return Build(files, {WINDOW: Origin()})

    lakehouse.catalog.commit("hourly_metrics", build)
    assert {value for _, _, value in read(lakehouse)} == {2}


def test_a_commit_whose_files_were_deleted_fails_and_leaves_the_table_as_it_was(lakehouse: Lakehouse) -> None:
    """As of a run that takes longer than the grace period."""
    write(lakehouse, WINDOW, 1.0)

    def build(_: Snapshot) -> Build:
        files = build_files(lakehouse, WINDOW, 2.0)
        assert sweep(open_lakehouse(lakehouse.settings), "hourly_metrics", utc_now(), NOTHING).deleted.files == 4
        return Build(files, {WINDOW: Origin()})

    with pytest.raises(FileNotFoundError):
        lakehouse.catalog.commit("hourly_metrics", build)
    assert {value for _, _, value in read(open_lakehouse(lakehouse.settings))} == {1}


def test_what_kept_metadata_reaches_stays(rebuilt: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    (location, *_) = kept_metadata(rebuilt, rebuilt.tables["hourly_metrics"], later())
    expected = read(rebuilt)
    # A copy, because commits delete the metadata that recovery no longer needs.
    pinned = folder_of(rebuilt) / "metadata" / "00000-pinned.metadata.json"
    shutil.copy(location.removeprefix("file://"), pinned)
    for value in range(COMMITS):
        write(rebuilt, WINDOW, value)
    monkeypatch.setattr(sweeping, "kept_metadata", lambda *given: [*kept_metadata(*given), f"file://{pinned}"])
    assert sweep(rebuilt, "hourly_metrics", later(), NOTHING).deleted.files > COMMITS

    table = rebuilt.snapshot("hourly_metrics")
    state = StaticTable.from_metadata(f"file://{pinned}")
    past = Snapshot(table.table, state, state.current_snapshot(), lambda: None)
    assert read(rebuilt, past) == expected


def test_an_interrupted_sweep_leaves_no_metadata_whose_files_are_gone(
    rebuilt: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of an old metadata file is complete until the sweep deletes it, which it does first."""
    (location, *_) = (folder_of(rebuilt) / "metadata").glob("*.metadata.json")
    old = location.with_name("00001-lost.metadata.json")
    shutil.copy(location, old)
    stages: list[bool] = []

    def interrupt(_: Path) -> None:
        stages.append(old.exists())
        raise KeyboardInterrupt

    before = files_of(rebuilt)
    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "sync_folder", interrupt)
        with pytest.raises(KeyboardInterrupt):
            sweep(rebuilt, "hourly_metrics", later(), NOTHING)
    assert stages == [False]
    deleted = before - files_of(rebuilt)
    assert old in deleted
    assert all(path.name.endswith(".metadata.json") for path in deleted)
    assert sweep(rebuilt, "hourly_metrics", later(), NOTHING).deleted.files > COMMITS


def test_a_restored_old_catalog_still_opens_the_newest_state(settings: Settings, tmp_path: Path) -> None:
    lakehouse = open_lakehouse(settings)
    write(lakehouse, WINDOW, 0)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(settings.home / "radar.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    for value in range(COMMITS):
        write(lakehouse, WINDOW, value)
    sweep(lakehouse, "hourly_metrics", later(), NOTHING)
    for name in ("radar.db-wal", "radar.db-shm"):
        (settings.home / name).unlink(missing_ok=True)
    shutil.copy(backup, settings.home / "radar.db")
    assert {value for _, _, value in read(open_lakehouse(settings))} == {COMMITS - 1}


def start_anew(lakehouse: Lakehouse, commits: int) -> Lakehouse:
    """Start with an empty database while the warehouse is not mounted, and mount it later."""
    for name in ("radar.db", "radar.db-wal", "radar.db-shm"):
        (lakehouse.settings.home / name).unlink(missing_ok=True)
    folder = folder_of(lakehouse)
    aside = folder.rename(folder.with_name("aside"))
    fresh = open_lakehouse(lakehouse.settings)
    fresh.snapshot("hourly_metrics")
    for value in range(commits):
        write(fresh, WINDOW, value)
    (aside / "metadata" / "version-hint.text").unlink()
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)
    return fresh


@pytest.mark.parametrize(
    ("commits", "message"),
    [
        (0, "newer metadata than the catalog"),
        (COMMITS // 2, "metadata of another table"),
        (COMMITS, "metadata of another table"),
    ],
)
def test_the_files_of_a_table_that_the_catalog_does_not_have_are_not_deleted(
    rebuilt: Lakehouse, commits: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, rows = files_of(rebuilt) - {folder_of(rebuilt) / "metadata" / "version-hint.text"}, read(rebuilt)
    fresh = start_anew(rebuilt, commits)
    with caplog.at_level(logging.CRITICAL):
        for clean in (maintain, sweep):
            with pytest.raises(SweepError, match=message):
                clean(fresh, "hourly_metrics", later(), NOTHING)
            assert files_of(fresh) >= before
    if not commits:
        assert fresh.catalog.recover("hourly_metrics")
        assert read(fresh) == rows
        assert sweep(fresh, "hourly_metrics", later(), NOTHING).deleted.files > COMMITS


def test_metadata_of_another_table_that_holds_nothing_or_was_given_up_is_deleted(lakehouse: Lakehouse) -> None:
    """As left by two processes that created the table at once, and by a table that was started over."""
    write(lakehouse, WINDOW, 1)
    metadata = folder_of(lakehouse) / "metadata"
    created = next(metadata.glob("00000-*.metadata.json"))
    other = json.loads(created.read_text()) | {"table-uuid": str(uuid4())}
    (metadata / "00000-other.metadata.json").write_text(json.dumps(other))
    assert sweep(lakehouse, "hourly_metrics", later(), NOTHING).deleted.files == 1

    created.unlink()
    for path in metadata.glob("*.avro"):
        path.unlink()
    fresh = open_lakehouse(lakehouse.settings)
    assert fresh.catalog.recover("hourly_metrics", start_over=True)
    write(fresh, WINDOW, 2)
    assert sweep(fresh, "hourly_metrics", later(), NOTHING).deleted.files == 5
    assert {value for _, _, value in read(fresh)} == {2}


def test_a_moved_home_is_swept_by_what_its_old_paths_reach(rebuilt: Lakehouse) -> None:
    old = rebuilt.settings.home
    new = old.rename(old.with_name("elsewhere"))
    old.symlink_to(new)
    moved = open_lakehouse(load_settings(home=new))
    rows = read(moved)
    assert sweep(moved, "hourly_metrics", later(), NOTHING).deleted.files > COMMITS
    assert read(open_lakehouse(load_settings(home=new))) == rows
