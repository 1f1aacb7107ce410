"""Any moment of the last day and any hour of the last week can be read, pins for longer, and nothing else is kept."""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import time_machine

import radar_assets
from radar_assets.lakehouse import snapshot as snapshots
from radar_assets.lakehouse.catalog import Build
from radar_assets.lakehouse.files import Origin, local_path_of
from radar_assets.lakehouse.history import (
    DELETES_METADATA,
    METADATA_KEPT,
    SnapshotExpiredError,
    UnknownPinError,
    expire_history,
    expired_metadata,
    kept_metadata,
    kept_snapshots,
    states,
    version_of,
)
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.pins import PinError, list_pins, pin, unpin
from radar_assets.lakehouse.recoveries import DamagedTableError
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window, utc_now
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write

TABLE = "hourly_metrics"
ONE_HOUR = Window.of_hour(DAY)
START = datetime(2026, 3, 1, 12)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def lakehouse(radar_home: Path) -> Lakehouse:
    return open_lakehouse(load_settings(history_hours=2, history_days=1).prepare())


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(f"{START}+00:00", tick=False) as clock:
        yield clock


def fill(lakehouse: Lakehouse, clock: time_machine.Traveller, minutes: int, commits: int) -> dict[datetime, int]:
    """Commit at intervals. Returns the value that each commit wrote, by its time."""
    written = {}
    for _ in range(commits):
        clock.shift(minutes * MINUTE)
        value = int(utc_now().timestamp())
        write(lakehouse, ONE_HOUR, value, projects=1)
        written[utc_now()] = value
    return written


def value_at(lakehouse: Lakehouse, as_of: datetime | str) -> float:
    ((_, _, value),) = read(lakehouse, lakehouse.catalog.snapshot(TABLE, as_of))
    return value


def location(lakehouse: Lakehouse) -> str:
    return lakehouse.snapshot(TABLE).iceberg.metadata_location


def metadata_folder(lakehouse: Lakehouse) -> Path:
    return Path(local_path_of(location(lakehouse))).parent


def expire(lakehouse: Lakehouse) -> list[Path]:
    return expire_history(lakehouse, lakehouse.tables[TABLE], utc_now())


def test_every_moment_is_read_as_it_was(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    written = fill(lakehouse, clock, 1, 65)
    assert len(lakehouse.snapshot(TABLE).iceberg.metadata.snapshots) <= 20
    for at, value in written.items():
        assert value_at(lakehouse, at) == value_at(lakehouse, at + MINUTE / 2) == value
        assert lakehouse.catalog.snapshot(TABLE, at).committed_at == at
    assert [one.committed_at for one in kept_snapshots(location(lakehouse))] == [*reversed(written)]
    first = min(written).isoformat(timespec="milliseconds")
    with pytest.raises(SnapshotExpiredError, match=f"the oldest available is of {first} UTC"):
        value_at(lakehouse, START)
    frame = radar_assets.read_table(TABLE, "2026-01-01", (START + 5 * MINUTE).isoformat())
    assert [*frame["value"]] == [written[START + 5 * MINUTE]]


def test_a_commit_is_found_by_its_sequence_number(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    written = [*fill(lakehouse, clock, 1, 45)]
    for number in (1, 2, 20, 44, 45):
        snapshot = lakehouse.catalog.snapshot_numbered(TABLE, number)
        assert (snapshot.sequence_number, snapshot.committed_at) == (number, written[number - 1])
    with pytest.raises(SnapshotExpiredError, match="does not reach back to its commit 0"):
        lakehouse.catalog.snapshot_numbered(TABLE, 0)


def test_all_of_the_last_hours_and_one_per_hour_of_the_last_days_are_kept(
    lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    written = fill(lakehouse, clock, 5, 12 * 13)
    expire(lakehouse)
    written |= fill(lakehouse, clock, 5, 12 * 14)
    now = utc_now()
    deleted = expire(lakehouse)
    assert len(deleted) > 100
    kept = kept_metadata(lakehouse, lakehouse.tables[TABLE], now)
    assert {Path(local_path_of(each)) for each in kept} == {*metadata_folder(lakehouse).glob("*.metadata.json")}
    for at, value in written.items():
        if at > now - 2 * HOUR:
            assert value_at(lakehouse, at) == value
        elif at > now - 24 * HOUR:
            read_at = lakehouse.catalog.snapshot(TABLE, at).committed_at
            assert read_at is not None
            assert at - HOUR < read_at <= at
    times = [one.committed_at for one in kept_snapshots(location(lakehouse))]
    older = [at for at in times if at < now - 2 * HOUR - 5 * MINUTE]
    assert [later - earlier for later, earlier in pairwise(older)] == [HOUR] * (len(older) - 1)
    assert now - 25 * HOUR < times[-1] <= now - 24 * HOUR + 5 * MINUTE
    assert expire(lakehouse) == []


def test_a_table_that_nobody_changes_keeps_what_recovery_needs(
    lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    fill(lakehouse, clock, 1, 50)
    clock.shift(timedelta(days=400))
    expire(lakehouse)
    found = [*states(location(lakehouse))]
    assert len(found) == METADATA_KEPT + 1
    before = value_at(lakehouse, found[1].committed_at)
    Path(local_path_of(location(lakehouse))).unlink()
    snapshots._manifests.clear()
    after = open_lakehouse(load_settings(history_hours=2, history_days=1).prepare())
    assert [value for _, _, value in read(after)] == [before]
    assert len(after.snapshot(TABLE).recoveries) == 1
    assert len([*states(location(after))]) == METADATA_KEPT + 1


def test_expiry_that_is_interrupted_anywhere_ends_the_same(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    fill(lakehouse, clock, 6, 80)
    folder = metadata_folder(lakehouse)
    newest = version_of(location(lakehouse))
    # Written, but not committed, as after a lost race; the last one may still be committed.
    for version in (7, 30, newest + 1):
        source = next(folder.glob(f"{version - 1:05d}-*.metadata.json"))
        shutil.copy(source, folder / f"{version:05d}-uncommitted.metadata.json")
    expired = expired_metadata(lakehouse, lakehouse.tables[TABLE], utc_now())
    assert {path.name[:5] for path in expired if "uncommitted" in path.name} == {"00007", "00030"}
    kept = kept_metadata(lakehouse, lakehouse.tables[TABLE], utc_now())
    for done in range(0, len(expired), 5):
        for path in expired[:done]:
            path.unlink(missing_ok=True)
        assert kept_metadata(lakehouse, lakehouse.tables[TABLE], utc_now()) == kept
        assert expired_metadata(lakehouse, lakehouse.tables[TABLE], utc_now()) == expired[max(0, done) :]


def test_what_a_recovery_gave_up_is_not_history(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    written = fill(lakehouse, clock, 1, 5)
    lost_at, kept_at = [*written][-1], [*written][-2]
    newest = max(lakehouse.snapshot(TABLE).files(), key=lambda ref: ref.sequence_number)
    os.truncate(newest.local_path, 0)
    clock.shift(MINUTE)
    snapshots._manifests.clear()
    after = open_lakehouse(load_settings(history_hours=2, history_days=1).prepare())
    assert [value_at(after, at) for at in (kept_at, lost_at)] == [written[kept_at]] * 2


def test_kept_states_stay_after_a_recovery_in_a_moved_home(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    """The recovery names earlier metadata by its new path, while new metadata goes to the path that the table has recorded."""
    fill(lakehouse, clock, 1, 5)
    old = lakehouse.settings.home
    new = old.rename(old.with_name("elsewhere"))
    old.symlink_to(new)
    for version in (4, 5):
        next((new / "warehouse").rglob(f"{version:05d}-*.metadata.json")).unlink()
    moved = open_lakehouse(load_settings(home=new, history_hours=2, history_days=1).prepare())
    fill(moved, clock, 1, 45)
    assert len(moved.snapshot(TABLE).recoveries) == 1
    assert expire(moved) == []


def test_a_past_whose_files_are_damaged_is_an_error_and_leaves_the_table_alone(
    lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    written = fill(lakehouse, clock, 1, 30)
    first = lakehouse.catalog.snapshot(TABLE, min(written))
    Path(first.files()[0].local_path).unlink()
    snapshots._manifests.clear()
    with pytest.raises(DamagedTableError, match=f"as of {min(written)} UTC: 1 data files are missing"):
        value_at(lakehouse, min(written))
    assert lakehouse.snapshot(TABLE).recoveries == ()


def test_a_table_of_an_earlier_version_gets_a_history(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    fill(lakehouse, clock, 1, 2)
    iceberg = lakehouse.snapshot(TABLE).iceberg
    with iceberg.transaction() as transaction:
        transaction.set_properties({DELETES_METADATA: "true"})
    folder = metadata_folder(lakehouse)
    shutil.copy(next(folder.glob("00002-*")), folder / "00001-uncommitted.metadata.json")
    lakehouse.catalog._loaded.clear()
    written = fill(lakehouse, clock, 1, 45)
    assert {value_at(lakehouse, at) for at in written} == {*written.values()}
    clock.shift(3 * HOUR)
    assert "00001-uncommitted.metadata.json" in {path.name for path in expire(lakehouse)}


def test_a_pin_is_an_iceberg_tag_that_outlives_commits_and_expiry(
    lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    written = fill(lakehouse, clock, 1, 60)
    old, recent = START + 3 * MINUTE, START + 59 * MINUTE
    write(lakehouse, ONE_HOUR, 1, projects=1)
    pin(lakehouse, "old", [TABLE], old)
    pin(lakehouse, "recent", [TABLE], recent)
    assert value_at(lakehouse, utc_now()) == 1
    fill(lakehouse, clock, 1, 45)
    clock.shift(timedelta(days=30))
    expire(lakehouse)
    fill(lakehouse, clock, 1, 25)
    assert [value_at(lakehouse, name) for name in ("old", "recent")] == [written[old], written[recent]]
    assert [*radar_assets.read_table(TABLE, "2026-01-01", "old")["value"]] == [written[old]]
    with pytest.raises(SnapshotExpiredError):
        value_at(lakehouse, old)
    iceberg = lakehouse.snapshot(TABLE).iceberg
    tagged = iceberg.metadata.refs["old"].snapshot_id
    assert iceberg.scan(snapshot_id=tagged).to_arrow()["value"].to_pylist() == [written[old]]
    assert len(iceberg.metadata.snapshots) <= 20 + 2
    assert [(one.name, one.committed_at, one.rows) for one in list_pins(lakehouse, [TABLE])] == [
        ("old", old, 1),
        ("recent", recent, 1),
    ]
    assert unpin(lakehouse, "old", lakehouse.tables) == [TABLE]
    assert unpin(lakehouse, "old", lakehouse.tables) == []
    assert tagged not in {one.snapshot_id for one in lakehouse.snapshot(TABLE).iceberg.metadata.snapshots}
    with pytest.raises(UnknownPinError, match="hourly_metrics has no pin 'old'"):
        value_at(lakehouse, "old")


def test_a_pin_is_of_one_moment_in_all_tables(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    fill(lakehouse, clock, 1, 3)
    lakehouse.catalog.commit("alerts", lambda _: Build([], {ONE_HOUR: Origin(1)}))
    clock.shift(MINUTE)
    moment = utc_now()
    write(lakehouse, ONE_HOUR, 7, projects=1)
    clock.shift(MINUTE)
    lakehouse.catalog.commit("alerts", lambda _: Build([], {ONE_HOUR: Origin(2)}))
    write(lakehouse, ONE_HOUR, 8, projects=1)
    pins = pin(lakehouse, "monday", lakehouse.tables, moment)
    assert {one.table: one.committed_at for one in pins} == {"alerts": moment - MINUTE, TABLE: moment}
    assert value_at(lakehouse, "monday") == 7


def test_a_pin_expires(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    fill(lakehouse, clock, 1, 3)
    until = utc_now() + timedelta(days=90)
    (made,) = pin(lakehouse, "report", [TABLE], expires_at=until)
    assert made.expires_at == until
    clock.move_to(until - MINUTE)
    expire(lakehouse)
    assert [one.name for one in list_pins(lakehouse, [TABLE])] == ["report"]
    clock.move_to(until)
    expire(lakehouse)
    assert list_pins(lakehouse, [TABLE]) == []


def test_a_commit_does_not_expire_a_snapshot_that_is_pinned_meanwhile(
    lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    written = fill(lakehouse, clock, 1, 20)
    oldest = min(written)

    def build(_: Snapshot) -> Build:
        if not list_pins(lakehouse, [TABLE]):
            pin(lakehouse, "oldest", [TABLE], oldest)
        return Build(build_files(lakehouse, ONE_HOUR, 5, 1), {ONE_HOUR: Origin()})

    lakehouse.catalog.commit(TABLE, build)
    assert value_at(lakehouse, "oldest") == written[oldest]
    assert [value for _, _, value in read(lakehouse)] == [5]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "invalid name"),
        ("a b", "invalid name"),
        ("main", "invalid name"),
        ("2026-11-02", "not only a time"),
        ("2h", "not only a time"),
        ("used", "hourly_metrics has a pin 'used' already"),
    ],
)
def test_an_invalid_pin_is_refused(
    name: str, message: str, lakehouse: Lakehouse, clock: time_machine.Traveller
) -> None:
    fill(lakehouse, clock, 1, 1)
    pin(lakehouse, "used", [TABLE])
    with pytest.raises(PinError, match=message):
        pin(lakehouse, name, [TABLE])


def test_a_pin_that_holds_nothing_or_is_over_is_refused(lakehouse: Lakehouse, clock: time_machine.Traveller) -> None:
    with pytest.raises(PinError, match="nothing to pin: hourly_metrics"):
        pin(lakehouse, "empty", [TABLE])
    fill(lakehouse, clock, 1, 1)
    with pytest.raises(PinError, match="expire in the past"):
        pin(lakehouse, "over", [TABLE], expires_at=utc_now())
