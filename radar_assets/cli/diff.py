"""`radar diff`: what changed in a table between two moments, and the landed lines that changed it."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from radar_assets.cli.arguments import Moment, moment_of
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import err
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from radar_assets.lakehouse.diff import Difference
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.snapshot import Snapshot
    from radar_assets.lakehouse.table import Table

DEFAULT_TABLE_ROWS = 100
_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}


def diff(
    table: str,
    /,
    *,
    from_: Annotated[Moment, Parameter(name="--from")],
    to: Moment | None = None,
    project: str | None = None,
    lines: bool = False,
    limit: int | None = None,
    format: Format = "table",
) -> None:
    """Show which rows of a table changed between two moments: radar diff daily_metrics --from 2h.

    Parameters
    ----------
    table
        Name of the table.
    from_
        Earlier moment: a time in UTC such as 2026-11-02T09:00, 2h for two hours ago, or a pin.
    to
        Later moment. Default: now.
    project
        Only rows of this project.
    lines
        List the landed lines that were added, removed or judged differently in the windows of these rows, instead of the rows.
    limit
        Maximum number of values or lines. Default: 100 as a table, otherwise all.
    format
        Output format.
    """
    from radar_assets.events.changed_lines import has_lines
    from radar_assets.lakehouse.diff import differences
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    lakehouse = open_lakehouse(load_settings().prepare())
    if table not in lakehouse.tables:
        raise UsageError(f"unknown table {table!r}; choose from {', '.join(lakehouse.tables)}")
    declared = lakehouse.tables[table]
    if lines and not has_lines(declared):
        raise UsageError(f"{table} is not built from landed lines; leave out --lines")
    before = lakehouse.catalog.snapshot(table, moment_of(from_))
    after = lakehouse.catalog.snapshot(table, moment_of(to) if to else None)
    found = differences(lakehouse, before, after, project)
    if limit is None and format == "table":
        limit = DEFAULT_TABLE_ROWS
    if lines:
        _print_lines(lakehouse, before, after, found, limit, format)
        return
    columns, rows = _columns(declared), _rows(declared, found, whole=format == "table")
    listed = rows if limit is None else islice(rows, limit)
    print_list(columns, listed, format, empty=f"No row of {table} differs.")
    if next(rows, None) is not None:
        err().print(f"Only the first {limit:,} values are shown; --limit shows more.", style="dim")
    if found and format == "table" and has_lines(declared):
        err().print(_summary(lakehouse, before, after, found), style="dim", markup=False)


def _columns(table: "Table") -> list[Column]:
    keys = [Column(name, cell=_short_time) for name in table.key]
    names = [] if _value_column(table) else [Column("column", heading="column")]
    return [
        Column("change", style=lambda kind: _STYLES.get(kind, ""), rank=1),
        *keys,
        *names,
        Column("before"),
        Column("after"),
        Column("difference", rank=2),
    ]


def _value_column(table: "Table") -> str | None:
    """The only column that is not part of the key, as in tables of metrics."""
    values = [name for name in table.column_names if name not in table.key]
    return values[0] if len(values) == 1 else None


def _rows(table: "Table", found: "list[Difference]", *, whole: bool) -> Iterator[list[Any]]:
    """One row for each value that differs.

    Args:
        whole: whether rows that were added or removed are one row without values, for tables with many columns.
    """
    only = _value_column(table)
    for each in found:
        columns = each.columns()
        if whole and not only and each.kind != "changed":
            yield [each.kind, *each.key.values(), f"{len(columns)} columns", None, None, None]
            continue
        for name in [only] if only else columns:
            before, after = ((row or {}).get(name) for row in (each.before, each.after))
            yield [each.kind, *each.key.values(), *([] if only else [name]), before, after, _difference(before, after)]


def _difference(before: Any, after: Any) -> Any:
    numbers = int | float | Decimal
    if isinstance(before, bool) or not (isinstance(before, numbers) and isinstance(after, numbers)):
        return None
    return after - before  # pyright: ignore[reportOperatorIssue] - both are of the type of their column


def _short_time(value: Any) -> str:
    from radar_assets.cli.listing import readable

    return value if isinstance(value, str) else readable(value)


def _print_lines(
    lakehouse: "Lakehouse",
    before: "Snapshot",
    after: "Snapshot",
    found: "list[Difference]",
    limit: int | None,
    format: Format,
) -> None:
    from radar_assets.events.changed_lines import changed_lines

    columns = [
        Column("change", style=lambda kind: _STYLES.get(kind, "")),
        Column("project_id", heading="project", rank=2),
        Column("event_time", rank=3),
        Column("event", rank=4),
        Column("event_id", rank=1),
        Column("segment"),
        Column("line_number", heading="line"),
        Column("reason", heading="rejected", rank=5),
        Column("received_hour", only="data"),
    ]
    listed = changed_lines(lakehouse, before, after, found)
    rows = ([getattr(line, column.name) for column in columns] for line in listed[:limit])
    print_list(columns, rows, format, empty="No landed line in the windows of these rows differs.")
    if limit is not None and len(listed) > limit:
        err().print(f"Only {limit:,} of {len(listed):,} lines are shown; --limit shows more.", style="dim")


def _summary(lakehouse: "Lakehouse", before: "Snapshot", after: "Snapshot", found: "list[Difference]") -> str:
    """A sentence about the landed lines behind the differences."""
    from collections import Counter

    from radar_assets.events.changed_lines import changed_lines
    from radar_assets.lakehouse.history import SnapshotExpiredError

    try:
        counts = Counter(line.change for line in changed_lines(lakehouse, before, after, found))
    except SnapshotExpiredError as error:
        return f"The landed lines behind these rows are not known any more: {error}."
    if not counts:
        return "No landed line in their windows differs: a definition, a setting or another window changed these rows."
    parts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    return f"Landed lines in their windows: {parts}. --lines lists them."
