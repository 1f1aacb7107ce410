"""`radar sql`: queries the current tables, in a DuckDB that can read the warehouse and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from radar_assets.cli.arguments import Moment, moment_of
from radar_assets.cli.listing import Column, Format, print_list, readable
from radar_assets.cli.terminal import err, radar_command
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection as Connection

    from radar_assets.lakehouse.lakehouse import Lakehouse

DEFAULT_TABLE_ROWS = 100
BATCH_ROWS = 10_000
MAX_RECORDS = 3
"""So many rows that are too wide for the terminal are printed as lists of their columns."""


class StatementError(UsageError):
    """The statement is invalid, or not one that only reads. The message is DuckDB's, with the position."""


def sql(
    statement: str,
    /,
    *,
    as_of: Annotated[Moment | None, Parameter(name="--as-of")] = None,
    format: Format = "table",
    limit: int | None = None,
) -> None:
    """Query the tables, read-only: radar sql "select * from daily_metrics".

    Parameters
    ----------
    statement
        A select statement in DuckDB SQL. "show tables" and "describe events" list tables and columns.
    as_of
        Query the tables as they stood at a time in UTC such as 2026-11-02T09:00, 2h ago, or at a pinned snapshot, by its name.
    format
        Output format.
    limit
        Maximum number of rows. Default: 100 as a table, otherwise all.
    """
    import duckdb

    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    if limit is None and format == "table":
        limit = DEFAULT_TABLE_ROWS
    missing: dict[str, Exception] = {}
    moment = moment_of(as_of) if as_of else None
    lakehouse = open_lakehouse(load_settings().prepare())
    with reading(lakehouse, moment, missing) as connection:
        try:
            statements = connection.extract_statements(statement)
            if len(statements) != 1 or statements[0].type.name != "SELECT":
                raise StatementError("radar sql is read-only; give exactly one select statement")
            cursor = connection.execute(statements[0])
        except duckdb.ProgrammingError as error:
            for name, reason in missing.items():
                if f"Table with name {name} does not exist" in str(error):
                    raise reason from error
            raise StatementError(str(error)) from error
        columns = [
            Column(name, heading=name, rank=place, cell=_cell, style=lambda value: "dim" if value is None else "")
            for place, (name, *_) in enumerate(cursor.description)
        ]
        rows = _rows(cursor)
        if format == "table" and (first := next(rows, None)) is not None:
            rows = chain([first], rows)
        elif format == "table":
            print_list(columns, [], format)
            err().print("0 rows", style="dim")
            if moment is None and _is_loading(lakehouse):
                err().print(
                    "Events that have just landed are not in the tables yet; radar dev loads them within a minute."
                )
            return
        print_list(columns, rows if limit is None else islice(rows, limit), format, max_records=MAX_RECORDS)
        if next(rows, None) is not None:
            err().print(f"Only the first {limit:,} rows are shown; --limit shows more.", style="dim")


@contextmanager
def reading(
    lakehouse: "Lakehouse", as_of: datetime | str | None = None, missing: dict[str, Exception] | None = None
) -> "Iterator[Connection]":
    """A connection with a view of each table and of the outbox, and of `events` with local times and dates as `dated_events`.

    No statement can read files outside the warehouse.

    Args:
        as_of: a time in UTC or the name of a pin. The outbox has no history, and so no view then.
        missing: is filled with the reason for each table that has no snapshot of that moment, and so no view.

    Raises:
        UnknownPinError: no table has the pin.
    """
    from radar_assets.events.local_days import dated_events
    from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
    from radar_assets.lakehouse.files import local_path_of
    from radar_assets.lakehouse.history import SnapshotExpiredError, UnknownPinError
    from radar_assets.lakehouse.inputs import Files
    from radar_assets.store.first_day import first_day
    from radar_assets.windows import DAY, Window, utc_now

    settings = lakehouse.settings
    warehouse = local_path_of(settings.warehouse).replace("'", "''")
    engine = DuckDBEngine(settings.memory, settings.threads, settings.scratch)
    tables: dict[str, Any] = {}
    missing = {} if missing is None else missing
    for name in lakehouse.tables:
        try:
            tables[name] = Files.of(lakehouse.catalog.snapshot(name, as_of))
        except (SnapshotExpiredError, UnknownPinError) as error:
            missing[name] = error
    if isinstance(as_of, str) and not tables:
        raise UnknownPinError(f"no table has a pin {as_of!r}; {radar_command()} snapshots list shows the pins")
    if "events" in tables:
        since = Window.of_day(first_day(settings)).start
        tables |= dated_events(tables["events"], lakehouse.calendar(), Window(since, utc_now() + 2 * DAY))
    if as_of is None:
        tables["alert_deliveries"] = _deliveries(lakehouse)
    with engine.connect(tables, alone=True) as connection:
        for setting in (
            f"allowed_directories = ['{warehouse}']",
            "enable_external_access = false",
            "python_enable_replacements = false",
            "preserve_insertion_order = true",
            "lock_configuration = true",
        ):
            connection.execute(f"set {setting}")
        yield connection


def _is_loading(lakehouse: "Lakehouse") -> bool:
    """Whether events that were received in this hour or the last one are not loaded yet."""
    from radar_assets.events.loading import missing_segments
    from radar_assets.events.tables import RAW_EVENTS
    from radar_assets.windows import HOUR, Window, utc_now

    hour = Window.of_hour(utc_now()).start
    return bool(missing_segments(lakehouse, lakehouse.snapshot(RAW_EVENTS.name), [hour - HOUR, hour]))


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


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else readable(value)
