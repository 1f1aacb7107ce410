"""Reads tables as pandas frames, for notebooks and for layers that work on frames rather than in SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Column, Table
from radar_assets.windows import DAY, Window

if TYPE_CHECKING:
    import pandas as pd

DTYPES = {
    "string": "string",
    "long": "Int64",
    "int": "Int32",
    "double": "float64",
    "boolean": "boolean",
    "timestamp": "datetime64[us]",
    "date": "datetime64[us]",
    "binary": "object",
    "decimal(18,4)": "decimal128(18, 4)[pyarrow]",
}
"""The pandas dtype of each column type. Those with an upper-case initial hold nulls without turning into floats."""
MAX_VALUES = 20_000_000
"""Rows times columns that a frame may have: about 500 MB of events."""


class FrameTooLargeError(ValueError):
    """The rows would not fit in memory; the message says how to read fewer."""


def read_frame(
    lakehouse: Lakehouse,
    name: str,
    window: Window,
    as_of: datetime | str | None = None,
    *,
    columns: Sequence[str] | None = None,
    project: str | None = None,
    max_values: int = MAX_VALUES,
) -> "pd.DataFrame":
    """Rows of a table as a frame. `radar_assets.read_table` describes the arguments and the errors."""
    table = _known_table(lakehouse, name)
    selected = _known_columns(table, columns)
    _check_window(table, window)
    snapshot = lakehouse.catalog.snapshot(name, as_of)
    relations = {name: Files.of(snapshot, window)}
    where = f'"{table.window_column}" >= $start and "{table.window_column}" < $end'
    parameters: dict[str, Any] = {"start": window.start, "end": window.end}
    if project is not None:
        where += " and project_id = $project"
        parameters["project"] = project

    rows = sum(ref.rows for ref in snapshot.files(window))
    if rows * len(selected) > max_values:
        # The files also hold other projects, and the rest of the window's first and last partitions.
        count = SqlModel("count", f'select count(*) as n from "{name}" where {where}')
        rows = lakehouse.engine.query(count, relations, parameters)["n"][0].as_py()
    if rows * len(selected) > max_values:
        raise FrameTooLargeError(
            f"{name} has {rows:,} rows in this window, and {len(selected)} columns of them are more than {max_values:,} values; "
            "choose a shorter window, fewer columns or one project, or raise max_values if memory allows"
        )
    order = ", ".join(f'"{column}"' for column in dict.fromkeys((table.window_column, *table.key)))
    values = ", ".join(map(_value, selected))
    model = SqlModel(name, f'select {values} from "{name}" where {where} order by {order}')
    frame = _to_pandas(lakehouse.engine.query(model, relations, parameters))
    frame.attrs = {"table": name, "snapshot_id": snapshot.snapshot_id, "committed_at": snapshot.committed_at}
    return frame


def _known_table(lakehouse: Lakehouse, name: str) -> Table:
    if name not in lakehouse.tables:
        raise ValueError(f"unknown table {name!r}; choose one of {', '.join(lakehouse.tables)}")
    return lakehouse.tables[name]


def _known_columns(table: Table, names: Sequence[str] | None) -> list[Column]:
    columns = {column.name: column for column in table.columns}
    if names is None:
        return [*columns.values()]
    if isinstance(names, str) or not names:
        raise ValueError("columns takes a list of names")
    if unknown := [name for name in names if name not in columns]:
        raise ValueError(f"{table.name} has no column {unknown[0]!r}; choose from {', '.join(columns)}")
    return [columns[name] for name in dict.fromkeys(names)]


def _check_window(table: Table, window: Window) -> None:
    """Refuse a part of a day where rows only have a date: it would look like a day without rows."""
    column = next(column for column in table.columns if column.name == table.window_column)
    midnight = datetime.min
    if column.type == "date" and any((bound - midnight) % DAY != timedelta() for bound in (window.start, window.end)):
        raise ValueError(f"{table.name} has one row per day, so the window must start and end at midnight")


def _value(column: Column) -> str:
    return f'"{column.name}"::timestamp as "{column.name}"' if column.type == "date" else f'"{column.name}"'


def _to_pandas(rows: Any) -> "pd.DataFrame":
    """Convert Arrow columns one at a time, giving back the memory of each."""
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.string(): pd.StringDtype("pyarrow"),
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.decimal128(18, 4): pd.ArrowDtype(pa.decimal128(18, 4)),
    }
    return rows.to_pandas(types_mapper=nullable.get, split_blocks=True, self_destruct=True)
