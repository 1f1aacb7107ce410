"""Formats of imported files: turns blocks of lines into batches of canonical events.

Records that are not events stay unchanged, and the contract rejects them. `import_sources.py` opens files, `importer.py` lands lines.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from radar_assets.events.contract import KINDS, Object, fields_of
from radar_assets.events.import_sources import BLOCK_BYTES, Block, ImportFailedError
from radar_assets.lakehouse.sql import SqlModel, load_model

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.lakehouse.engines.base import Engine

OBJECTS = fields_of(Object)
FIELDS = tuple(name for name in KINDS if name not in OBJECTS)
_REQUIRED = (("project_id",), ("timestamp",), ("event",), ("user_id", "anonymous_id"))

LAYER = "radar_assets.events"
_ROWS_OF_WORK = 8_192


class Batch(NamedTuple):
    """Consecutive records of a file.

    Attributes:
        raw: the records as they are in the file, with line feeds.
        rows: one per record: `record_number` in the file, `is_event`, `project_id`, `received_at`, and the `line` to land, which is
            null if the record lands unchanged.
        read_bytes: bytes of the file read so far.
    """

    raw: "pa.LargeBinaryArray"
    rows: "pa.Table"
    read_bytes: int


@dataclass(frozen=True)
class Fields:
    """Where an event's fields come from. A target is a field or a member of an object, such as `context.country`.

    Attributes:
        columns: target -> column of the file. Columns named like a field are mapped to it by default.
        constants: target -> value.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        members = tuple(f"{name}." for name in OBJECTS)
        for target in [*self.columns, *self.constants]:
            if target not in (*FIELDS, *OBJECTS) and not target.startswith(members):
                known = ", ".join([*FIELDS, *OBJECTS, *(f"{start}<name>" for start in members)])
                raise ImportFailedError(f"unknown event field {target}; use one of {known}")
        for target in self.columns.keys() & self.constants.keys():
            raise ImportFailedError(
                f"{target} is mapped to the column {self.columns[target]} and set to a constant; remove one"
            )

    def of(self, columns: Iterable[str], nested: bool = False) -> "Fields":
        """Resolve the fields for a file with these columns.

        Args:
            nested: whether `a.b` can mean a member `b` of a column `a`.

        Raises:
            ImportFailedError: a column or a required field is missing.
        """
        there = dict.fromkeys(columns)
        listed = ", ".join(there) or "none"
        for target, column in self.columns.items():
            if column not in there and not (nested and column.split(".")[0] in there):
                raise ImportFailedError(f"{target}={column}: unknown column {column}; the columns are {listed}")
        own = {name: name for name in (*FIELDS, *OBJECTS) if name in there and name not in self.constants}
        fields = Fields({**own, **self.columns}, self.constants)
        for names in _REQUIRED:
            if not any(name in fields.columns or name in fields.constants for name in names):
                raise ImportFailedError(
                    f"{' or '.join(names)} is required: map a column to it ({names[0]}=<column>) or "
                    f"set it to a constant ({names[0]}=<value>); the columns are {listed}"
                )
        return fields

    def members(self, name: str) -> dict[str, str]:
        """Columns that become members of an object, by member name."""
        return _members(self.columns, name)

    def constant_parameters(self) -> dict[str, Any]:
        """Parameters of `imported_events.sql`: the constants of fields, and those of members of objects as JSON."""
        return {
            "field_constants": {name: self.constants.get(name) for name in (*FIELDS, *OBJECTS)},
            "property_constants": json.dumps(_members(self.constants, "properties")),
            "context_constants": json.dumps(_members(self.constants, "context")),
        }


class Importing(NamedTuple):
    """What all formats need: the engine, the fields, and the time of the import (RFC 3339)."""

    engine: "Engine"
    fields: Fields
    now: str

    def canonical(self, lines: "pa.Table") -> "pa.Table":
        """Complete lines that are canonical events already, in order."""
        rows = self.engine.query(load_model(LAYER, "canonical_lines"), {"lines": lines}, {"now": self.now})
        return rows.sort_by("record_number")

    def events(self, model: str, inputs: "Mapping[str, pa.Table]", **parameters: Any) -> "pa.Table":
        """Turn the records that a model returns into events, in order.

        Both models run as one statement: passing the records through Arrow would take as long as everything else.
        """
        records, events = load_model(LAYER, model), load_model(LAYER, "imported_events")
        both = SqlModel(events.name, f"with records as ({records.sql}) select * from ({events.sql})")
        constants = self.fields.constant_parameters()
        return self.engine.query(both, inputs, {"now": self.now, **constants, **parameters}).sort_by("record_number")


class Lines(NamedTuple):
    """Lines of a file without blank ones: raw, and in a table as text (null if not UTF-8) with line numbers."""

    raw: "pa.LargeBinaryArray"
    table: "pa.Table"
    read_bytes: int

    def batch(self, rows: "pa.Table") -> Batch:
        """The lines as a batch, with the rows made from them."""
        return Batch(self.raw, rows, self.read_bytes)


def split_lines(blocks: Iterable[Block]) -> Iterator[Lines]:
    """Split blocks into lines. Lines are handled one by one only in blocks that are not all UTF-8."""
    import numpy as np
    import pyarrow as pa

    read = 0
    for block in blocks:
        content = np.frombuffer(block.data, np.uint8)
        offsets = np.concatenate([[0], np.flatnonzero(content == ord("\n")) + 1])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block.data)]
        raw = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
        numbers = np.arange(read + 1, read + 1 + len(raw))
        read += len(raw)
        lengths = np.diff(offsets)
        written = (lengths > 2) | ((lengths == 2) & (content[offsets[:-1]] != ord("\r")))
        if not written.any():
            continue
        if not written.all():
            raw, numbers = raw.filter(pa.array(written)), numbers[written]
        try:
            text = raw.cast(pa.large_string())
        except pa.ArrowInvalid:
            text = pa.array([_text(line) for line in raw.to_pylist()], pa.large_string())
        table = pa.table({"record_number": numbers, "text": text})
        # The engine's threads work on one batch each.
        yield Lines(raw, pa.Table.from_batches(table.to_batches(max_chunksize=_ROWS_OF_WORK)), block.read_bytes)


def read_ndjson(blocks: Iterable[Block], importing: Importing) -> Iterator[Batch]:
    """JSON objects, one per line. Without mapped or constant fields, they are canonical events already."""
    parameters = None
    for lines in split_lines(blocks):
        if not (importing.fields.columns or importing.fields.constants):
            yield lines.batch(importing.canonical(lines.table))
            continue
        if parameters is None:
            names = importing.engine.query(load_model(LAYER, "line_columns"), {"lines": lines.table})[
                "name"
            ].to_pylist()
            parameters = _paths(importing.fields.of(names, nested=True), names)
        yield lines.batch(importing.events("ndjson_records", {"lines": lines.table}, **parameters))


def read_csv(blocks: Iterable[Block], importing: Importing) -> Iterator[Batch]:
    """CSV with a header, separated by comma, semicolon, tab or bar. Empty cells are null."""
    import pyarrow as pa

    lines = _TextLines(blocks)
    header, delimiter = _header(lines)
    parameters = _cells(importing.fields.of(header), header)
    for rows in _batched(_rows(lines, delimiter, len(header))):
        table = pa.table(
            {
                "record_number": pa.array([row.record_number for row in rows], pa.int64()),
                "is_event": [row.cells is not None for row in rows],
                "text": pa.array([None if row.cells is None else row.record for row in rows]),
                "cells": pa.array([row.cells for row in rows], pa.list_(pa.string())),
            }
        )
        raw = pa.array([row.record.encode("utf-8", "surrogateescape") for row in rows], pa.large_binary())
        yield Batch(raw, importing.events("csv_records", {"rows": table}, **parameters), lines.read_bytes)


class _Row(NamedTuple):
    """A record of a CSV file with the number of its first line; `cells` is `None` if it can't be parsed."""

    record_number: int
    record: str
    cells: list[str] | None


class _TextLines:
    """The lines of blocks as text. Lines taken since the last call of `taken` can be given back, to be parsed again."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._waiting: deque[str] = deque()
        self._taken: list[str] = []
        self.read_bytes = 0

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        while not self._waiting:
            block = next(self._blocks)
            self.read_bytes = block.read_bytes
            # Invalid UTF-8 becomes lone surrogates, which `_is_utf8` finds.
            self._waiting.extend(re.findall(r"[^\n]*\n", str(block.data, "utf-8", "surrogateescape")))
        self._taken.append(self._waiting.popleft())
        return self._taken[-1]

    def taken(self) -> list[str]:
        """The lines taken since the last call."""
        taken, self._taken = self._taken, []
        return taken

    def give_back(self, lines: list[str]) -> None:
        self._waiting.extendleft(reversed(lines))


def _header(lines: _TextLines) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter: the one that gives the most columns."""
    line = next(lines, "")
    lines.taken()
    candidates = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in ",;\t|"}
    delimiter, names = max(candidates.items(), key=lambda candidate: len(candidate[1]))
    if not any(names):
        raise ImportFailedError("the file is empty; a CSV file starts with a header")
    for name in names:
        if names.count(name) > 1:
            raise ImportFailedError(f"duplicate column {name!r} in the header")
    return names, delimiter


def _rows(lines: _TextLines, delimiter: str, width: int) -> Iterator[_Row]:
    """The records after the header."""
    number, reader = 2, csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = None
        taken = lines.taken()
        if cells is None or len(cells) != width or not _is_utf8("".join(taken)):
            # A quote may be unclosed: the lines that it swallowed are parsed again, one by one.
            cells = None
            lines.give_back(taken[1:])
            taken = taken[:1]
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
        record = "".join(taken)
        if cells or record.strip():
            yield _Row(number, record, cells)
        number += len(taken)


def _batched(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += len(row.record)
        if size >= BLOCK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _cells(fields: Fields, header: list[str]) -> dict[str, Any]:
    """Parameters of `csv_records.sql`: positions of cells; no cell has position 0."""
    positions = _positions(header)
    used = set(fields.columns.values())
    properties = {name: name for name in header if name not in used} | fields.members("properties")
    context = fields.members("context")
    return {
        "field_positions": {
            target: positions[fields.columns[target]] if target in fields.columns else 0
            for target in (*FIELDS, *OBJECTS)
        },
        "property_names": list(properties),
        "property_columns": [positions[column] for column in properties.values()],
        "context_names": list(context),
        "context_columns": [positions[column] for column in context.values()],
    }


def _paths(fields: Fields, names: Iterable[str]) -> dict[str, Any]:
    """Parameters of `ndjson_records.sql`: JSON pointers, and a merge patch that removes the values they point to."""
    there = set(names)

    def path(column: str) -> list[str]:
        return [column] if column in there else column.split(".")

    def pointer(column: str) -> str:
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path(column))

    # Later lines may have fields that no line has had so far.
    columns = {target: fields.columns.get(target, target) for target in (*FIELDS, *OBJECTS)}
    properties, context = fields.members("properties"), fields.members("context")
    taken: dict[str, Any] = {}
    for column in [*columns.values(), *properties.values(), *context.values()]:
        *parents, last = path(column)
        node: Any = taken
        for parent in parents:
            node = node.setdefault(parent, {}) if node is not None else None
        if node is not None:
            node[last] = None
    return {
        "field_paths": [pointer(column) for column in columns.values()],
        "field_positions": _positions(columns),
        "property_names": list(properties),
        "property_paths": [pointer(column) for column in properties.values()],
        "context_names": list(context),
        "context_paths": [pointer(column) for column in context.values()],
        "taken": json.dumps(taken),
        "taken_names": [name for name, rest in taken.items() if rest is None],
    }


def _positions(names: Iterable[str]) -> dict[str, int]:
    """Positions in a list of SQL, which start at 1, by name."""
    return {name: position for position, name in enumerate(names, start=1)}


def _members(targets: Mapping[str, str], name: str) -> dict[str, str]:
    return {
        target.removeprefix(f"{name}."): column for target, column in targets.items() if target.startswith(f"{name}.")
    }


def _text(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _is_utf8(text: str) -> bool:
    return text.isascii() or not re.search("[\ud800-\udfff]", text)
