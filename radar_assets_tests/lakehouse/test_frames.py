"""Tables as frames: column types, filters, the size limit, and earlier snapshots."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import pytest

from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import Origin
from radar_assets.lakehouse.frames import DTYPES, FrameTooLargeError, read_frame
from radar_assets.lakehouse.graph import Graph
from radar_assets.lakehouse.history import SnapshotExpiredError
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Column, Table
from radar_assets.settings import Settings
from radar_assets.windows import DAY, HOUR, Window

START = datetime(2026, 1, 1)
WHOLE_DAY = Window.of_day(START)
SAMPLES = Table(
    "samples",
    "One row per hour and project, with a column of each type and, in odd rows, nulls.",
    (
        Column("project_id", "string", "Project.", nullable=False),
        Column("hour", "timestamp", "Hour.", nullable=False),
        Column("text", "string", "Text."),
        Column("big", "long", "A number that a float can't hold."),
        Column("small", "int", "A small number."),
        Column("ratio", "double", "A fraction."),
        Column("is_odd", "boolean", "Whether the row is odd."),
        Column("date", "date", "A date."),
        Column("raw", "binary", "Bytes."),
        Column("revenue", "decimal(18,4)", "An amount."),
    ),
    (("hour", "hour"),),
    ("project_id", "hour"),
)
BIG = 2**53 + 1
ROWS = SqlModel(
    "samples",
    f"""
    select
        project_id, hour, if(is_odd, null, 'é') as text, if(is_odd, null, {BIG}) as big, if(is_odd, null, 7::int) as small,
        if(is_odd, null, 0.5::double) as ratio, if(is_odd, null, true) as is_odd, if(is_odd, null, hour::date) as date,
        if(is_odd, null, '\\x00\\xFF'::blob) as raw, if(is_odd, null, $amount::decimal(18, 4)) as revenue
    from (
        select 'p' || project as project_id, $start::timestamp + to_hours(hours.hour) as hour, hours.hour % 2 = 1 as is_odd
        from range(date_diff('hour', $start::timestamp, $end::timestamp)) hours(hour), range(2) projects(project)
    )
    """,
)


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return Lakehouse(settings, Graph([SAMPLES]))


def write(lakehouse: Lakehouse, window: Window, amount: str = "0.1000") -> None:
    """Replace a window with one row per hour for each of two projects."""
    table = lakehouse.tables["samples"]
    parameters = {"start": window.start, "end": window.end, "amount": Decimal(amount)}

    def build(_: Snapshot) -> Build:
        folder = lakehouse.catalog.data_folder(table)
        return Build(lakehouse.engine.write(ROWS, {}, parameters, table, folder), {window: Origin()})

    lakehouse.catalog.commit("samples", build)


def test_each_column_type_becomes_its_dtype_and_nulls_change_no_value(lakehouse: Lakehouse) -> None:
    write(lakehouse, WHOLE_DAY)
    frame = read_frame(lakehouse, "samples", WHOLE_DAY)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        column.name: DTYPES[column.type] for column in SAMPLES.columns
    }
    even, odd = frame.iloc[0].to_dict(), frame.iloc[2].to_dict()
    assert even == {
        "project_id": "p0",
        "hour": pd.Timestamp(START),
        "text": "é",
        "big": BIG,
        "small": 7,
        "ratio": 0.5,
        "is_odd": True,
        "date": pd.Timestamp(START),
        "raw": b"\x00\xff",
        "revenue": Decimal("0.1000"),
    }
    assert [name for name, value in odd.items() if not pd.isna(value)] == ["project_id", "hour"]
    assert [frame["revenue"].sum()] == [Decimal("2.4000")]


def test_an_empty_window_has_the_same_dtypes(lakehouse: Lakehouse) -> None:
    without_table = read_frame(lakehouse, "samples", WHOLE_DAY)
    write(lakehouse, WHOLE_DAY)
    without_rows = read_frame(lakehouse, "samples", Window.of_day(START + DAY))
    full = read_frame(lakehouse, "samples", WHOLE_DAY)
    assert len(without_table) == len(without_rows) == 0
    pd.testing.assert_series_equal(without_table.dtypes, full.dtypes)
    pd.testing.assert_series_equal(without_rows.dtypes, full.dtypes)


def test_rows_are_those_of_the_window_in_order_of_time_and_key(lakehouse: Lakehouse) -> None:
    write(lakehouse, WHOLE_DAY)
    frame = read_frame(lakehouse, "samples", Window(START + HOUR / 2, START + 3 * HOUR))
    assert [*zip(frame["hour"], frame["project_id"], strict=True)] == [
        (pd.Timestamp(START + hours * HOUR), project) for hours in (1, 2) for project in ("p0", "p1")
    ]


def test_columns_and_project_filter_a_frame(lakehouse: Lakehouse) -> None:
    write(lakehouse, WHOLE_DAY)
    frame = read_frame(lakehouse, "samples", WHOLE_DAY, columns=["revenue", "hour"], project="p1")
    assert [*frame.columns] == ["revenue", "hour"]
    assert len(frame) == 24


@pytest.mark.parametrize(
    ("narrowing", "values"),
    [
        ({}, 480),
        ({"columns": ["hour"]}, 48),
        ({"project": "p0"}, 240),
    ],
)
def test_the_limit_counts_the_selected_values(lakehouse: Lakehouse, narrowing: dict[str, object], values: int) -> None:
    write(lakehouse, WHOLE_DAY)
    assert read_frame(lakehouse, "samples", WHOLE_DAY, max_values=values, **narrowing).size == values  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        FrameTooLargeError, match=f"than {values - 1} values; choose a shorter window, fewer columns or"
    ):
        read_frame(lakehouse, "samples", WHOLE_DAY, max_values=values - 1, **narrowing)  # pyright: ignore[reportArgumentType]


def test_as_of_reads_an_earlier_snapshot(lakehouse: Lakehouse) -> None:
    write(lakehouse, WHOLE_DAY, "1")
    first = read_frame(lakehouse, "samples", WHOLE_DAY).attrs["committed_at"]
    while datetime.now(UTC).replace(tzinfo=None) < first + timedelta(milliseconds=2):
        pass
    write(lakehouse, WHOLE_DAY, "2")
    write(lakehouse, Window.of_day(START + DAY), "3")
    both = Window(START, START + 2 * DAY)

    def total(as_of: datetime | None) -> object:
        return read_frame(lakehouse, "samples", both, as_of)["revenue"].sum()

    elsewhere = first.replace(tzinfo=UTC).astimezone(timezone(9 * HOUR))
    assert [total(moment) for moment in (first, first + timedelta(milliseconds=1), elsewhere)] == [24, 24, 24]
    assert [total(moment) for moment in (None, datetime(2100, 1, 1))] == [120, 120]
    assert read_frame(lakehouse, "samples", both, first).attrs["committed_at"] == first


def test_a_time_before_the_history_names_the_oldest_snapshot(lakehouse: Lakehouse) -> None:
    with pytest.raises(SnapshotExpiredError, match="samples is empty"):
        read_frame(lakehouse, "samples", WHOLE_DAY, datetime(2026, 1, 1))
    write(lakehouse, WHOLE_DAY)
    oldest = read_frame(lakehouse, "samples", WHOLE_DAY).attrs["committed_at"].isoformat(timespec="milliseconds")
    with pytest.raises(SnapshotExpiredError, match=rf"2026-01-01T00:00:00 UTC; the oldest .* {oldest} UTC"):
        read_frame(lakehouse, "samples", WHOLE_DAY, datetime(2026, 1, 1))


def test_a_column_that_was_added_later_is_null_in_rows_from_before(settings: Settings) -> None:
    old = Table(SAMPLES.name, "", SAMPLES.columns[:-2], SAMPLES.partition_by, SAMPLES.key)
    write(Lakehouse(settings, Graph([old])), WHOLE_DAY)
    frame = read_frame(Lakehouse(settings, Graph([SAMPLES])), "samples", WHOLE_DAY)
    assert (frame["revenue"].count(), frame["big"].count()) == (0, 24)
    assert str(frame["revenue"].dtype) == DTYPES["decimal(18,4)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "sample"}, "unknown table 'sample'; choose one of samples"),
        ({"columns": ["hours"]}, "samples has no column 'hours'; choose from project_id, hour"),
        ({"columns": "hour"}, "columns takes a list of names"),
        ({"columns": []}, "columns takes a list of names"),
    ],
)
def test_invalid_arguments_are_named(lakehouse: Lakehouse, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frame(lakehouse, **{"name": "samples", "window": WHOLE_DAY, **arguments})  # pyright: ignore[reportArgumentType]


def test_a_part_of_a_day_is_refused_where_rows_have_a_date(settings: Settings) -> None:
    days = Table("days", "", (Column("date", "date", "Day."),), (("date", "day"),), ("date",))
    lakehouse = Lakehouse(settings, Graph([days]))
    with pytest.raises(ValueError, match="must start and end at midnight"):
        read_frame(lakehouse, "days", Window.of_hour(START))
    assert read_frame(lakehouse, "days", Window.of_day(date(2026, 1, 1))).empty
