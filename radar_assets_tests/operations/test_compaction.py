"""Compaction leaves the rows of a table as they are, and everything that staleness, loading and recovery read off its files."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from radar_assets.calendar import Calendar
from radar_assets.events.landing import write_segment
from radar_assets.events.loading import load_raw_events, missing_segments
from radar_assets.lakehouse import snapshot
from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import NewFile, Origin, to_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel, load_model
from radar_assets.lakehouse.staleness import stale, unbuilt
from radar_assets.operations import compaction
from radar_assets.operations.compaction import Compacted, compact
from radar_assets.orchestration.factory import same_windows
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write
from radar_assets_tests.platform import event, line

NOON = datetime(2026, 3, 10, 12)
NEXT_DAY = NOON + timedelta(days=1)
HOURS = [NOON, NOON + HOUR]


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


@pytest.fixture
def loaded(lakehouse: Lakehouse) -> Lakehouse:
    """Two received hours with ten loads each, some of late events and invalid lines, and the tables of rejected lines and events."""
    for number in range(10):
        for hour in HOURS:
            _land(lakehouse, hour, number)
    _build(lakehouse)
    return lakehouse


def _land(lakehouse: Lakehouse, hour: datetime, number: int) -> None:
    at = hour + timedelta(seconds=30 * number)
    lines = [line(event(f"{hour.hour}-{number}-{each}", at)) for each in range(5)]
    lines.append(line(event(f"{hour.hour}-{number}-late", at - 3 * HOUR, at)))
    lines += [b"not JSON\n"] * (number % 2)
    write_segment(lakehouse.settings.landing, hour, f"segment-{number:02}", lines)
    load_raw_events(lakehouse, ["shop"], Window.of_hour(hour), only_missing=True)


def _build(lakehouse: Lakehouse) -> None:
    window = Window(NOON - timedelta(hours=6), NOON + timedelta(hours=6))
    lakehouse.rebuild(load_model("radar_assets.events", "rejected_events"), [window], same_windows)
    # The real model of events needs user agents; what matters is from which state of its input it was built.
    number = lakehouse.snapshot("raw_events").sequence_number
    lakehouse.catalog.commit("events", lambda _: Build([], {window: Origin(number)}))


def _rows(lakehouse: Lakehouse) -> list[dict[str, Any]]:
    model = SqlModel("rows", "select * from raw_events order by received_hour, segment, line_number")
    return lakehouse.engine.query(model, {"raw_events": Files.of(lakehouse.snapshot("raw_events"))}).to_pylist()


def test_the_files_of_a_closed_hour_become_one_with_the_same_rows_in_order(loaded: Lakehouse) -> None:
    before = _rows(loaded)
    files = loaded.snapshot("raw_events").files()
    partitions = {ref.partition for ref in files}
    assert len(files) > 30
    assert len(partitions) == 6

    assert compact(loaded, "raw_events", NEXT_DAY) == Compacted(len(files), 6)
    after = loaded.snapshot("raw_events").files()
    assert Counter(ref.partition for ref in after) == dict.fromkeys(partitions, 1)
    assert _rows(loaded) == before
    for ref in after:
        table = pq.read_table(ref.local_path, columns=["segment", "line_number"]).to_pylist()
        assert table == sorted(table, key=lambda row: tuple(row.values()))
    head = loaded.snapshot("raw_events").iceberg.current_snapshot()
    assert head
    assert head.summary
    assert head.summary.operation.value == "replace"
    assert head.summary["total-records"] == str(len(before))
    assert head.summary["total-data-files"] == "6"
    assert compact(loaded, "raw_events", NEXT_DAY) == Compacted(0, 0)


def test_nothing_becomes_stale_and_no_segment_is_loaded_again(loaded: Lakehouse) -> None:
    raw_events = loaded.snapshot("raw_events")
    changes = [raw_events.changes(index=index) for index in (0, 1)]
    cursor = raw_events.sequence_number
    compact(loaded, "raw_events", NEXT_DAY)

    raw_events = loaded.snapshot("raw_events")
    assert [raw_events.changes(index=index) for index in (0, 1)] == changes
    for child in ("events", "rejected_events"):
        assert unbuilt(raw_events, loaded.snapshot(child), Calendar({}), NOON.date()) == {}
        assert stale(raw_events, loaded.snapshot(child), Calendar({}), newer_than=cursor) == {}
    assert missing_segments(loaded, raw_events, HOURS) == []
    commit, gone = load_raw_events(loaded, ["shop"], Window(NOON, NOON + 2 * HOUR), only_missing=True)
    assert (commit.rows, gone) == (0, 0)


def test_a_load_after_compaction_makes_exactly_its_hours_stale(loaded: Lakehouse) -> None:
    compact(loaded, "raw_events", NEXT_DAY)
    _land(loaded, NOON, 99)
    raw_events = loaded.snapshot("raw_events")
    late = {to_unit(NOON, "hour"), to_unit(NOON - 3 * HOUR, "hour")}
    assert set(stale(raw_events, loaded.snapshot("events"), Calendar({}))) == late
    # What is not read yet stays apart, so that its age shows.
    assert compact(loaded, "raw_events", NEXT_DAY) == Compacted(0, 0)
    _build(loaded)
    assert compact(loaded, "raw_events", NEXT_DAY).into == 3


def test_open_hours_and_large_files_are_left_alone(loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compact(loaded, "raw_events", NOON + HOUR + timedelta(minutes=59)) == Compacted(0, 0)
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "SMALL_BYTES", 100)
        assert compact(loaded, "raw_events", NEXT_DAY) == Compacted(0, 0)
    closed = compact(loaded, "raw_events", NOON + HOUR + compaction.CLOSED_AFTER)
    assert {ref.partition[0] for ref in loaded.snapshot("raw_events").files() if ref.rows > 7} == {
        to_unit(NOON, "hour")
    }
    assert closed.into == 3


def test_groups_are_limited_in_size(loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _rows(loaded)
    largest = max(ref.size_bytes for ref in loaded.snapshot("raw_events").files())
    monkeypatch.setattr(compaction, "MAX_BYTES", 4 * largest)
    compacted = compact(loaded, "raw_events", NEXT_DAY)
    assert compacted.into > 6
    assert _rows(loaded) == before


def test_empty_files_are_dropped_but_the_time_of_the_last_change_stays(lakehouse: Lakehouse) -> None:
    """Loads touch neighbouring hours with copies by adding empty files."""
    key = (to_unit(NOON, "hour"), to_unit(NOON, "hour"))
    window = Window.of_hour(NOON + HOUR)
    for _ in range(3):
        lakehouse.catalog.commit(
            "raw_events", lambda _: Build([], {window: Origin()}), replace=False, touch=lambda _: frozenset({key})
        )
    _build(lakehouse)
    changes = lakehouse.snapshot("raw_events").changes()
    assert len(lakehouse.snapshot("raw_events").files()) == 6
    compact(lakehouse, "raw_events", NEXT_DAY)
    assert len(lakehouse.snapshot("raw_events").files()) == 2
    assert lakehouse.snapshot("raw_events").changes() == changes


def _append(lakehouse: Lakehouse, hour: datetime, built_from: int) -> None:
    """Add a file to an hour of `hourly_metrics`, without replacing it."""
    files = build_files(lakehouse, Window.of_hour(hour), 1.0, 1, built_from)
    lakehouse.catalog.commit(
        "hourly_metrics", lambda _: Build(files, {Window.of_hour(hour): Origin(built_from)}), replace=False
    )


def test_merged_files_keep_the_state_of_the_input_and_others_stay_apart(lakehouse: Lakehouse) -> None:
    for built_from in (7, 7, 7):
        _append(lakehouse, DAY, built_from)
    for built_from in (3, 5):
        _append(lakehouse, DAY + HOUR, built_from)
    assert compact(lakehouse, "hourly_metrics", NEXT_DAY) == Compacted(3, 1)
    files = [(ref.built_from, ref.sequence_number) for ref in lakehouse.snapshot("hourly_metrics").files()]
    assert sorted(files) == [(3, 4), (5, 5), (7, 3)]


def test_a_partition_that_is_replaced_meanwhile_is_left_out(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (DAY, DAY + HOUR):
        for _ in range(2):
            _append(lakehouse, hour, 0)
    rewrite = type(lakehouse.catalog).rewrite

    def interfere(catalog: Any, name: str, rewrites: Any) -> Any:
        write(open_lakehouse(lakehouse.settings), Window.of_hour(DAY), 2.0, projects=1)
        return rewrite(catalog, name, rewrites)

    monkeypatch.setattr(type(lakehouse.catalog), "rewrite", interfere)
    assert compact(lakehouse, "hourly_metrics", NEXT_DAY) == Compacted(2, 1)
    assert [(hour, value) for hour, _, value in read(lakehouse)] == [(DAY, 2.0), (DAY + HOUR, 1.0), (DAY + HOUR, 1.0)]
    folder = lakehouse.catalog.data_folder(lakehouse.tables["hourly_metrics"])
    # The four sources, the merged file of the second hour and the one that replaced the first.
    assert len(list(folder.rglob("*.parquet"))) == 6


def test_a_build_does_not_conflict_with_a_compaction_of_its_window(lakehouse: Lakehouse) -> None:
    for _ in range(2):
        _append(lakehouse, DAY, 0)
    builds = []

    def build(base: Any) -> Build:
        builds.append(base.sequence_number)
        assert compact(open_lakehouse(lakehouse.settings), "hourly_metrics", NEXT_DAY).merged == 2
        return Build(build_files(lakehouse, Window.of_hour(DAY), 5.0, 1), {Window.of_hour(DAY): Origin()})

    lakehouse.catalog.commit("hourly_metrics", build)
    assert len(builds) == 1
    assert [value for _, _, value in read(lakehouse)] == [5.0]


def test_small_manifests_are_merged(lakehouse: Lakehouse) -> None:
    for hour in range(20):
        write(lakehouse, Window.of_hour(DAY + hour * HOUR), 1.0)
    before = read(lakehouse)
    changes = lakehouse.snapshot("hourly_metrics").changes()
    assert len(lakehouse.snapshot("hourly_metrics").manifests()) == 20
    compact(lakehouse, "hourly_metrics", NEXT_DAY)
    assert len(lakehouse.snapshot("hourly_metrics").manifests()) == 1
    assert read(lakehouse) == before
    assert lakehouse.snapshot("hourly_metrics").changes() == changes


def test_files_with_other_rows_are_refused(loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _rows(loaded)
    write_files = type(loaded.engine).write

    def lose(engine: Any, model: SqlModel, *arguments: Any) -> list[NewFile]:
        return write_files(
            engine, SqlModel(model.name, model.sql.replace(" order by", " where line_number > 1 order by")), *arguments
        )

    monkeypatch.setattr(type(loaded.engine), "write", lose)
    with pytest.raises(RuntimeError, match="nothing was changed"):
        compact(loaded, "raw_events", NEXT_DAY)
    assert _rows(loaded) == before


def test_manifests_that_are_not_used_any_more_are_forgotten(
    lakehouse: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of a code server stays flat, although each commit and each compaction adds manifests."""
    monkeypatch.setattr(snapshot, "_manifests", {})
    clock = [0.0]
    # Not `time.monotonic` itself, by which the event loops of other threads wake up.
    monkeypatch.setattr(snapshot, "monotonic", lambda: clock[0])
    for hour in range(24):
        write(lakehouse, Window.of_hour(DAY + hour * HOUR), 1.0)
        lakehouse.snapshot("hourly_metrics").files()
    assert len(snapshot._manifests) == 24  # pyright: ignore[reportPrivateUsage]
    compact(lakehouse, "hourly_metrics", NEXT_DAY)
    for clock[0] in (snapshot.CACHED_S / 2, snapshot.CACHED_S + 1):
        lakehouse.snapshot("hourly_metrics").files()
    assert len(snapshot._manifests) == 1  # pyright: ignore[reportPrivateUsage]
