"""`radar sql`: queries the current tables, in a DuckDB that can read the warehouse and nothing else."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import CycloptsError

from radar_assets.cli.terminal import err, out, printable

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection as Connection

    from radar_assets.lakehouse.lakehouse import Lakehouse

DEFAULT_TABLE_ROWS = 100
BATCH_ROWS = 10_000


def sql(statement: str, /, *, format: Literal["table", "csv", "json"] = "table", limit: int | None = None) -> None:
    """Query the tables, read-only: radar sql "select * from daily_metrics".

    Parameters
    ----------
    statement
        A select statement in DuckDB SQL. "show tables" and "describe events" list tables and columns.
    format
        Output format.
    limit
        Maximum number of rows. Default: 100 as a table, otherwise all.
    """
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    if limit is None and format == "table":
        limit = DEFAULT_TABLE_ROWS
    with reading(open_lakehouse(load_settings().prepare())) as connection:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            raise CycloptsError(msg="radar sql is read-only; give exactly one select statement")
        cursor = connection.execute(statements[0])
        names = [column[0] for column in cursor.description]
        rows = _rows(cursor)
        shown = rows if limit is None else islice(rows, limit)
        {"table": _print_table, "csv": _print_csv, "json": _print_json}[format](names, shown)
        if next(rows, None) is not None:
            err().print(f"Only the first {limit} rows are shown; --limit shows more.", style="dim")


@contextmanager
def reading(lakehouse: "Lakehouse") -> "Iterator[Connection]":
    """A connection with a view of each table and of the outbox. No statement can read files outside the warehouse."""
    from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
    from radar_assets.lakehouse.files import local_path_of
    from radar_assets.lakehouse.inputs import Files, Inputs

    settings = lakehouse.settings
    warehouse = local_path_of(settings.warehouse).replace("'", "''")
    engine = DuckDBEngine(settings.memory, settings.threads, settings.scratch)
    tables: Inputs = {name: Files.of(lakehouse.snapshot(name)) for name in lakehouse.tables}
    with engine.connect({**tables, "alert_deliveries": _deliveries(lakehouse)}, alone=True) as connection:
        for setting in (
            f"allowed_directories = ['{warehouse}']",
            "enable_external_access = false",
            "python_enable_replacements = false",
            "preserve_insertion_order = true",
            "lock_configuration = true",
        ):
            connection.execute(f"set {setting}")
        yield connection


def _deliveries(lakehouse: "Lakehouse") -> "pa.Table":
    from radar_assets.alerts.export import deliveries
    from radar_assets.store.database import open_store

    store = open_store(lakehouse.settings.database)
    try:
        return deliveries(store)
    finally:
        store.close()


def _rows(cursor: "Connection") -> Iterator[tuple[Any, ...]]:
    while batch := cursor.fetchmany(BATCH_ROWS):
        yield from batch


def _print_table(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    def cell(value: Any) -> Text:
        return Text("null", style="dim") if value is None else Text(printable(_text(value)), overflow="fold")

    shown = list(rows)
    console = out()
    table = Table(show_edge=False)
    for index, name in enumerate(names):
        is_number = any(isinstance(row[index], int | float | Decimal) for row in shown)
        table.add_column(Text(name), justify="right" if is_number else "left")
    for row in shown:
        table.add_row(*map(cell, row))
    if Measurement.get(console, console.options.update(max_width=10_000), table).minimum <= console.width:
        console.print(table)
        return
    # Too wide for a table: print each row as a list of columns.
    for number, row in enumerate(shown, start=1):
        record = Table(title=f"row {number}", title_justify="left", box=None, show_header=False)
        for name, value in zip(names, row, strict=True):
            record.add_row(Text(name, style="bold"), cell(value))
        console.print(record)


def _print_csv(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in rows)


def _print_json(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print an array with one object per line, so that it can be read as a whole or line by line."""
    before = "["
    for row in rows:
        text = json.dumps({name: _plain(value) for name, value in zip(names, row, strict=True)}, ensure_ascii=False)
        sys.stdout.write(f"{before}\n{text}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _text(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(_plain(value), ensure_ascii=False)
    plain = _plain(value)
    if isinstance(plain, bool):
        return str(plain).lower()
    return str(value if isinstance(value, float | Decimal | datetime) else plain)


def _plain(value: Any) -> Any:
    """A value as JSON types. Bytes are lines from senders, mostly UTF-8."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, Decimal | float):
        return float(value) if isfinite(value) else None
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | None) else str(value)
