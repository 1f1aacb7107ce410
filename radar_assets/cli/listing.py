"""Lists, as all commands print them: a table that fits the terminal, plain aligned columns in a pipe, or CSV or JSON.

Tables round numbers and shorten long texts; CSV and JSON have the full values of all columns.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from radar_assets.cli.terminal import err, is_terminal, out, printable

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["table", "csv", "json"]
Rows = Iterable[Sequence[Any]]

GAP = 2
"""Characters between two columns."""
MAX_CELL = 120
"""Characters of a text in the tables of a terminal."""
MIN_TEXT = 24
"""Words longer than this may be broken to make a table fit."""

MIN_SHORTENED = 12
"""Characters that are left of a text with an ellipsis."""


def readable(value: Any) -> str:
    """A value as tables show it: rounded, with thousands separators, times in minutes. None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return _rounded(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" if value.second else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, tuple | list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return _exact(value)


@dataclass(frozen=True)
class Column:
    """A column of a list.

    Attributes:
        name: in CSV and JSON.
        heading: in tables; by default the name in words.
        rank: where a table is too wide for the terminal, columns with the highest rank are left out first; never those of rank 0.
        cell: the text of a value in tables.
        style: the style of a value in tables, by its colour or weight.
        only: whether only tables have it, or only data formats (CSV and JSON).
        short: how many characters of a text the tables of a terminal show, as for ids; 0 for no such limit.
        ellipsis: whether a text that is too wide is cut, with an ellipsis, rather than wrapped.
        optional: whether tables leave the column out if all its values are empty.
    """

    name: str
    heading: str = ""
    rank: int = 0
    cell: Callable[[Any], str] = readable
    style: Callable[[Any], str] = lambda _: ""
    only: Literal["", "table", "data"] = ""
    short: int = 0
    ellipsis: bool = False
    optional: bool = False


def print_list(
    columns: Sequence[Column], rows: Rows, format: Format = "table", *, empty: str = "", max_records: int = 0
) -> None:
    """Print rows in a format.

    Args:
        columns: one for each value of a row.
        empty: the line to print instead of a table without rows.
        max_records: if the columns don't fit, print up to this many rows as a list of their columns each, rather than leave out
            columns.
    """
    other = "data" if format == "table" else "table"
    places = [place for place, column in enumerate(columns) if column.only != other]
    columns, rows = [columns[place] for place in places], ([row[place] for place in places] for row in rows)
    if format == "csv":
        _print_csv(columns, rows)
    elif format == "json":
        _print_json(columns, rows)
    else:
        shown = list(rows)
        used = [
            place
            for place, column in enumerate(columns)
            if not column.optional or any(row[place] not in (None, "") for row in shown)
        ]
        columns, shown = [columns[place] for place in used], [[row[place] for place in used] for row in shown]
        if not shown and empty:
            out().print(empty, markup=False)
        elif is_terminal(sys.stdout):
            _print_table(columns, shown, max_records)
        else:
            _print_plain(columns, shown)


def _print_csv(columns: Sequence[Column], rows: Rows) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(["" if value is None else _exact(value) for value in row] for row in rows)


def _print_json(columns: Sequence[Column], rows: Rows) -> None:
    """Print an array with one object per line, so that it can be read as a whole or line by line."""
    names = [column.name for column in columns]
    before = "["
    for row in rows:
        text = json.dumps({name: _plain(value) for name, value in zip(names, row, strict=True)}, ensure_ascii=False)
        sys.stdout.write(f"{before}\n{text}")
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _print_plain(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns without a frame, for pipes and files. No text is shortened and no line is wrapped."""
    from rich.cells import cell_len

    lines = [[_heading(column) for column in columns]]
    lines += [[printable(column.cell(value)) for column, value in zip(columns, row, strict=True)] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    is_number = [_is_numeric(rows, index) for index in range(len(columns))]
    for line in lines:
        cells = []
        for cell, width, at_right in zip(line, widths, is_number, strict=True):
            blank = " " * (width - cell_len(cell))
            cells.append(blank + cell if at_right else cell + blank)
        sys.stdout.write(f"{(' ' * GAP).join(cells).rstrip()}\n")


def _print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], max_records: int) -> None:
    """Print a table that is no wider than the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    console = out()
    cells = {index: [_shortened(column, row[index]) for row in rows] for index, column in enumerate(columns)}
    natural = {index: max(map(cell_len, [_heading(columns[index]), *texts])) for index, texts in cells.items()}
    least = {
        index: natural[index]
        if _is_numeric(rows, index)
        else max(_least_width(_heading(columns[index])), min(natural[index], MIN_SHORTENED))
        if columns[index].ellipsis
        else max(map(_least_width, [_heading(columns[index]), *texts]))
        for index, texts in cells.items()
    }
    kept = _fitting(columns, least, console.width)
    if len(kept) < len(columns) and len(rows) <= max_records:
        _print_records(console, columns, rows)
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    widths = _widths(columns, {index: natural[index] for index in kept}, least, console.width)
    for index in kept:
        table.add_column(
            Text(_heading(columns[index])),
            justify="right" if _is_numeric(rows, index) else "left",
            width=widths[index],
            no_wrap=columns[index].ellipsis,
            overflow="ellipsis" if columns[index].ellipsis else "fold",
        )
    for place, row in enumerate(rows):
        table.add_row(*(Text(cells[index][place], style=columns[index].style(row[index])) for index in kept))
    console.print(table)
    if hidden := [_heading(column) for index, column in enumerate(columns) if index not in kept]:
        listed = f"{', '.join(hidden[:5])}{f' and {len(hidden) - 5} more' if hidden[5:] else ''}"
        err().print(f"Not shown: {listed}. --format csv has all columns.", style="dim", markup=False)


def _print_records(console: "Console", columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Print each row as a list of its columns, in full."""
    from rich.table import Table
    from rich.text import Text

    for number, row in enumerate(rows, start=1):
        record = Table(title=f"row {number}", title_justify="left", box=None, show_header=False, pad_edge=False)
        for column, value in zip(columns, row, strict=True):
            cell = Text(printable(column.cell(value)), style=column.style(value), overflow="fold")
            record.add_row(Text(_heading(column), style="bold"), cell)
        console.print(record)


def _fitting(columns: Sequence[Column], least: dict[int, int], width: int) -> list[int]:
    """The columns that fit into a width, in their order."""
    kept = list(least)
    while sum(least[index] + GAP for index in kept) - GAP > width:
        rank, dropped = max((columns[index].rank, index) for index in kept)
        if not rank:
            break
        kept.remove(dropped)
    return kept


def _widths(columns: Sequence[Column], natural: dict[int, int], least: dict[int, int], width: int) -> dict[int, int]:
    """The widths of columns that together fit into a width: those with an ellipsis give way first, then the widest.

    Words are broken only if the columns don't fit otherwise.
    """
    widths = dict(natural)
    for floor in (least, dict.fromkeys(least, 1)):
        while sum(widths.values()) + GAP * (len(widths) - 1) > width:
            wide = [index for index in widths if widths[index] > floor[index]]
            if not wide:
                break
            widths[max(wide, key=lambda index: (columns[index].ellipsis, widths[index]))] -= 1
    return widths


def _least_width(text: str) -> int:
    """The width that a text can be wrapped to."""
    from rich.cells import cell_len

    return min(max(map(cell_len, text.split()), default=0), MIN_TEXT)


def _shortened(column: Column, value: Any) -> str:
    text = printable(column.cell(value))
    if column.short:
        return text[: column.short]
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _heading(column: Column) -> str:
    return printable(column.heading or column.name.replace("_", " "))


def _is_numeric(rows: Sequence[Sequence[Any]], index: int) -> bool:
    kinds = {type(row[index]) for row in rows} - {type(None)}
    return bool(kinds) and all(issubclass(kind, int | float | Decimal) and kind is not bool for kind in kinds)


def _rounded(value: float | Decimal) -> str:
    """At most two decimals; below one, three significant digits."""
    if not isfinite(value):
        return str(value)
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.3g}"
    if abs(value) >= 1:
        return f"{value:,.2f}".removesuffix(".00")
    return f"{float(f'{value:.3g}'):f}".rstrip("0").rstrip(".") if value else "0"


def _exact(value: Any) -> str:
    """A value in full as text."""
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
