"""`radar sql`: a select over the tables as they stand, in a DuckDB that can read the warehouse and do nothing else."""

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

ROWS_OF_A_TABLE = 100
BATCH = 10_000


def sql(statement: str, /, *, format: Literal["table", "csv", "json"] = "table", limit: int | None = None) -> None:
    """Query the tables, read only: radar sql "select * from daily_metrics".

    Parameters
    ----------
    statement
        One select in DuckDB's SQL. "show tables" and "describe events" tell what there is.
    format
        How the rows are printed.
    limit
        Most rows to print. As a table 100 by default, otherwise all.
    """
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    if limit is None and format == "table":
        limit = ROWS_OF_A_TABLE
    with reading(open_lakehouse(load_settings().prepare())) as connection:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type.name != "SELECT":
            raise CycloptsError(msg="radar sql takes one select statement, and reads only")
        cursor = connection.execute(statements[0])
        names = [column[0] for column in cursor.description]
        rows = _rows(cursor)
        shown = rows if limit is None else islice(rows, limit)
        {"table": _print_table, "csv": _print_csv, "json": _print_json}[format](names, shown)
        if next(rows, None) is not None:
            err().print(f"There are more than these {limit} rows; --limit shows more.", style="dim")


@contextmanager
def reading(lakehouse: "Lakehouse") -> "Iterator[Connection]":
    """A connection with a view of every table and of the outbox; it reads no file but the warehouse's, whatever it is asked."""
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
    from radar_assets.alerts.relations import deliveries
    from radar_assets.store.database import open_store

    store = open_store(lakehouse.settings.database)
    try:
        return deliveries(store)
    finally:
        store.close()


def _rows(cursor: "Connection") -> Iterator[tuple[Any, ...]]:
    while batch := cursor.fetchmany(BATCH):
        yield from batch


def _print_table(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    def cell(value: Any) -> Text:
        return Text("null", style="dim") if value is None else Text(printable(_text(value)), overflow="fold")

    kept = list(rows)
    console = out()
    table = Table(show_edge=False)
    for place, name in enumerate(names):
        is_number = any(isinstance(row[place], int | float | Decimal) for row in kept)
        table.add_column(Text(name), justify="right" if is_number else "left")
    for row in kept:
        table.add_row(*map(cell, row))
    if Measurement.get(console, console.options.update(max_width=10_000), table).minimum <= console.width:
        console.print(table)
        return
    # Too many columns to be read side by side: one below the other, row by row.
    for number, row in enumerate(kept, start=1):
        record = Table(title=f"row {number}", title_justify="left", box=None, show_header=False)
        for name, value in zip(names, row, strict=True):
            record.add_row(Text(name, style="bold"), cell(value))
        console.print(record)


def _print_csv(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in rows)


def _print_json(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """An array with an object a line, so that it can be read whole or line by line."""
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
    """A value in JSON's types; bytes are the lines of senders, UTF-8 for the most part."""
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
