"""Commits of the catalog are atomic, idempotent, safe under concurrency, and readable by any Iceberg reader."""

import multiprocessing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from radar_assets.lakehouse.catalog import Catalog
from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import Origin, to_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.replacement import MAX_ENTRIES, MAX_SMALL
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.settings import Settings, load_settings
from radar_assets.tables import TABLES, open_lakehouse
from radar_assets.windows import HOUR, Window
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write

DAY_WINDOW = Window(DAY, DAY + timedelta(days=1))
THREE = Window.of_hour(datetime(2026, 1, 1, 3))


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


def test_a_window_is_replaced_and_the_rest_is_unchanged(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    commit = write(lakehouse, THREE, 2, projects=5)
    rows = read(lakehouse)
    assert {value for hour, _, value in rows if hour == THREE.start} == {2}
    assert {value for hour, _, value in rows if hour != THREE.start} == {1}
    assert (commit.rows, commit.table_rows, len(rows)) == (5, 23 * 3 + 5, 23 * 3 + 5)


def test_a_window_written_twice_has_its_rows_once(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    write(lakehouse, DAY_WINDOW, 1)
    assert len(read(lakehouse)) == 24 * 3


def test_a_result_without_rows_empties_its_window(lakehouse: Lakehouse) -> None:
    first = write(lakehouse, DAY_WINDOW, 1).sequence_number
    second = write(lakehouse, THREE, 1, projects=0).sequence_number
    assert THREE.start not in {hour for hour, _, _ in read(lakehouse)}
    changes = lakehouse.snapshot("hourly_metrics").changes(DAY_WINDOW)
    assert sorted(changes.values()) == [first] * 23 + [second]


def test_a_reader_keeps_its_snapshot(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    before = lakehouse.snapshot("hourly_metrics")
    write(lakehouse, DAY_WINDOW, 2)
    assert {value for _, _, value in read(lakehouse, before)} == {1}
    assert {value for _, _, value in read(lakehouse)} == {2}


def test_a_failing_build_leaves_no_files(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    files = set(Path(lakehouse.settings.home).rglob("*.parquet"))

    def build(_: Snapshot) -> Build:
        return Build(build_files(lakehouse, DAY_WINDOW, 2), {THREE: Origin()})

    with pytest.raises(ValueError, match="outside the windows"):
        lakehouse.catalog.commit("hourly_metrics", build)
    assert {value for _, _, value in read(lakehouse)} == {1}
    assert set(Path(lakehouse.settings.home).rglob("*.parquet")) == files


def test_a_build_is_repeated_after_a_concurrent_commit_to_its_window(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    seen: list[int] = []

    def build(base: Snapshot) -> Build:
        seen.append(base.sequence_number)
        if len(seen) == 1:
            write(open_lakehouse(lakehouse.settings), THREE, 2)
        return Build(build_files(lakehouse, THREE, 3), {THREE: Origin()})

    lakehouse.catalog.commit("hourly_metrics", build)
    assert len(seen) == 2
    assert seen[1] > seen[0]
    assert {value for hour, _, value in read(lakehouse) if hour == THREE.start} == {3}


def test_a_build_is_not_repeated_after_a_commit_to_another_window(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    builds = []

    def build(_: Snapshot) -> Build:
        builds.append(1)
        if len(builds) == 1:
            write(open_lakehouse(lakehouse.settings), Window.of_hour(datetime(2026, 1, 1, 9)), 2)
        return Build(build_files(lakehouse, THREE, 3), {THREE: Origin()})

    lakehouse.catalog.commit("hourly_metrics", build)
    assert len(builds) == 1
    assert {value for _, _, value in read(lakehouse)} == {1, 2, 3}


def test_a_build_is_repeated_after_a_commit_to_another_window_that_it_reads(lakehouse: Lakehouse) -> None:
    nine = Window.of_hour(datetime(2026, 1, 1, 9))
    builds = []

    def build(_: Snapshot) -> Build:
        builds.append(1)
        if len(builds) == 1:
            write(open_lakehouse(lakehouse.settings), nine, 2)
        return Build(build_files(lakehouse, THREE, 3), {THREE: Origin()})

    lakehouse.catalog.commit("hourly_metrics", build, reads=[nine])
    assert len(builds) == 2


def _write_hours(home: str, database_url: str | None, writer: int, hours: list[int]) -> None:
    lakehouse = open_lakehouse(load_settings(home=home, database_url=database_url))
    for hour in hours:
        write(lakehouse, Window.of_hour(DAY + hour * HOUR), writer)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_concurrent_commits_lose_nothing(database: str, radar_home: Path, request: pytest.FixtureRequest) -> None:
    """Four processes start on an empty catalog. Each writes its own hours, and one hour that all of them write."""
    url = request.getfixturevalue("postgres_url") if database == "postgres" else None
    settings = load_settings(home=radar_home, database_url=url).prepare()
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=_write_hours, args=(str(radar_home), url, writer, [writer, 20, writer + 4, 20])
        )
        for writer in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lakehouse = open_lakehouse(settings)
    rows = read(lakehouse)
    owners = {hour: {value for at, _, value in rows if at == DAY + hour * HOUR} for hour in range(8)}
    assert owners == {hour: {hour % 4} for hour in range(8)}
    assert len(rows) == 9 * 3
    assert lakehouse.snapshot("hourly_metrics").sequence_number == 16


def test_snapshots_expire_without_losing_rows(lakehouse: Lakehouse) -> None:
    for number in range(25):
        write(lakehouse, THREE, number, projects=1)
    snapshot = lakehouse.snapshot("hourly_metrics")
    assert len(snapshot.iceberg.metadata.snapshots) <= 20
    assert read(lakehouse) == [(THREE.start, "p0", 24)]
    assert len(snapshot.files()) == 1


def test_any_iceberg_reader_sees_the_rows_and_prunes_by_hour(lakehouse: Lakehouse) -> None:
    write(lakehouse, DAY_WINDOW, 1)
    scan = lakehouse.snapshot("hourly_metrics").iceberg.scan(row_filter="hour = '2026-01-01T03:00:00'")
    assert len(list(scan.plan_files())) == 1
    assert sorted(scan.to_arrow()["project_id"].to_pylist()) == ["p0", "p1", "p2"]


def test_every_table_is_created_by_its_declaration(lakehouse: Lakehouse) -> None:
    for name, table in TABLES.items():
        schema = lakehouse.snapshot(name).iceberg.schema()
        assert tuple(field.name for field in schema.fields) == table.column_names
        assert [field.field_id for field in schema.fields] == list(range(1, len(table.columns) + 1))


def test_a_warehouse_path_can_have_any_characters(tmp_path: Path) -> None:
    home = tmp_path / "a b'c%20d=é"
    lakehouse = open_lakehouse(load_settings(home=home).prepare())
    write(lakehouse, THREE, 1)
    assert len(read(lakehouse)) == 3
    assert Catalog(lakehouse.settings.database, lakehouse.settings.warehouse, TABLES).snapshot("hourly_metrics").files()


def test_manifests_stay_few_and_small_and_show_when_partitions_changed(lakehouse: Lakehouse) -> None:
    long = Window(DAY, DAY + timedelta(days=13))
    write(lakehouse, long, 0, projects=1)
    hours = [Window.of_hour(DAY + number * HOUR) for number in range(MAX_SMALL + 5)]
    numbers = {hour: write(lakehouse, hour, number, projects=1).sequence_number for number, hour in enumerate(hours)}
    head = lakehouse.snapshot("hourly_metrics")
    sizes = [(one.added_files_count or 0) + (one.existing_files_count or 0) for one in head.manifests()]
    assert sum(sizes) == len(long.hours())
    assert max(sizes) <= MAX_ENTRIES
    assert len(sizes) < MAX_SMALL
    changes = head.changes(None)
    assert all(changes[to_unit(hour.start, "hour")] == number for hour, number in numbers.items())
    assert {value for _, _, value in read(lakehouse)} == set(range(len(hours)))


def test_an_interrupt_after_the_commit_keeps_its_files(lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyiceberg cleans up after the commit, and a run can be cancelled at that moment."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pyiceberg.catalog.Catalog._delete_old_metadata", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(lakehouse, DAY_WINDOW, 1)
    assert {value for _, _, value in read(lakehouse)} == {1}
