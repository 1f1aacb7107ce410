"""The lakehouse that assets use: catalog, engine, and the function that rebuilds windows of a table."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.catalog import Catalog
from radar_assets.lakehouse.commits import Build, Commit, discard
from radar_assets.lakehouse.engines.limits import time_limit_s
from radar_assets.lakehouse.fallback import Composite, with_fallback
from radar_assets.lakehouse.files import STEP, NewFile, Origin, from_unit, to_unit, unit_range
from radar_assets.lakehouse.graph import Graph
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.omissions import Omission, Omissions, common_expensive
from radar_assets.lakehouse.settings import LakehouseSettings
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window, contiguous

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.lakehouse.engines.base import Engine
    from radar_assets.lakehouse.sql import Lineage

_LOG = logging.getLogger(__name__)


class Lakehouse:
    """Tables and the engine that computes them.

    Attributes:
        calendar: reads the days of the projects, which decide the partitions of tables of days.
    """

    def __init__(
        self, settings: LakehouseSettings, tables: Graph, calendar: Callable[[], Calendar] = lambda: Calendar({})
    ) -> None:
        self.settings = settings
        self.tables = tables
        self.calendar = calendar
        self.catalog = Catalog(settings.database, settings.warehouse, tables)

    @cached_property
    def engine(self) -> "Engine":
        """The engine that `RADAR_ENGINE` selects."""
        from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

        return DuckDBEngine(self.settings.memory, self.settings.threads, self.settings.scratch)

    def snapshot(self, name: str) -> Snapshot:
        """A table as it stands now."""
        return self.catalog.snapshot(name)

    def lineage(
        self,
        model: SqlModel,
        completed: Callable[[], SqlModel] | None = None,
        parts: Sequence[str] = (),
        **relations: tuple[str, ...] | SqlModel,
    ) -> "Lineage":
        """Column lineage of a model (`sql.column_lineage`). Empty if it can't be derived, because no table depends on it.

        Cached in a file, since each run needs the definitions, and importing the parser takes longer than building them.

        Args:
            completed: returns the statement, if the model is only a part of it.
            parts: what else the statement depends on.
        """
        others = {name: each.sql if isinstance(each, SqlModel) else each for name, each in relations.items()}
        key = json.dumps([model.sql, others, list(self.tables), *parts], sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()
        file = self.settings.home / "cache" / f"lineage-{model.name}-{digest[:16]}.json"
        with suppress(OSError, ValueError):
            return {column: [tuple(pair) for pair in pairs] for column, pairs in json.loads(file.read_text()).items()}
        from radar_assets.lakehouse.sql import column_lineage

        try:
            found = column_lineage(completed() if completed else model, tuple(self.tables.values()), **relations)
        except Exception:  # definitions load nevertheless
            _LOG.warning("no column lineage for %s", model.name, exc_info=True)
            return {}
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found))
        fresh.replace(file)
        return found

    def rebuild(
        self,
        model: SqlModel | Composite,
        windows: Sequence[Window],
        inputs: Callable[[Mapping[str, Snapshot], Sequence[Window], Calendar], Inputs],
        *,
        retry: bool = True,
    ) -> Commit:
        """Replace windows of a model's table by the current result of the model, in one commit.

        Args:
            model: named like its table. It runs for one part of the windows at a time, with `$start` and `$end` of the part. Parts
                of a composite that fail are omitted.
            inputs: returns the model's relations for windows, given snapshots of the table's inputs. Rows outside the windows are
                dropped. The windows of tables of days are days, from midnight to midnight in no time zone; the calendar knows their
                hours.
            retry: whether to compute again what partitions omit because it took too much time or memory, and that has not changed
                since.
        """
        composite = model if isinstance(model, Composite) else Composite(lambda _: model, ())
        table = self.tables[composite.model.name]
        units = sorted({unit for window in windows for unit in range(*unit_range(table, window))})
        size = self.engine.partitions_a_write
        parts = [units[first : first + size] for first in range(0, len(units), size)]

        def build(base: Snapshot) -> Build:
            snapshots = {parent.name: self.snapshot(parent.name) for parent in table.inputs}
            calendar = self.calendar()
            origin = origin_of_build(table, snapshots, calendar)
            files: list[NewFile] = []
            omissions: dict[int, frozenset[Omission]] = {}
            try:
                for part in parts:
                    known = frozenset() if retry else common_expensive(base.omissions, part)
                    chosen = composite.without({omission.definition for omission in known})
                    written, found = self._write_part(
                        chosen, table, part, lambda some: inputs(snapshots, some, calendar), origin
                    )
                    files += written
                    omissions |= {unit: known | found.get(unit, frozenset()) for unit in part if known or unit in found}
            except BaseException:
                discard(files)
                raise
            recorded = _with_input(table, snapshots, windows) if table.grid == "hour" else None
            return Build(files, dict.fromkeys(windows, origin), omissions, recorded)

        return self.catalog.commit(table.name, build)

    def _write_part(
        self,
        composite: Composite,
        table: Table,
        units: Sequence[int],
        inputs: Callable[[Sequence[Window]], Inputs],
        origin: Origin,
    ) -> tuple[list[NewFile], Omissions]:
        unit, folder = table.grid, self.catalog.data_folder(table)
        windows = contiguous((from_unit(value, unit) for value in units), STEP[unit], len(units))
        single = [Window(from_unit(value, unit), from_unit(value + 1, unit)) for value in units]

        def write() -> list[NewFile]:
            relations = inputs(windows)
            limit_s = time_limit_s(relations) if composite.optional else None
            return self.engine.write(composite.model, relations, span(windows), table, folder, origin, limit_s)

        def query(model: SqlModel, some: Sequence[Window], *, is_limited: bool) -> "pa.Table":
            relations = inputs(some)
            return self.engine.query(model, relations, span(some), time_limit_s(relations) if is_limited else None)

        def write_rows(rows: "pa.Table") -> list[NewFile]:
            model = SqlModel(table.name, "select * from computed")
            return self.engine.write(model, {"computed": rows}, {}, table, folder, origin)

        def span(some: Sequence[Window]) -> Mapping[str, datetime]:
            return {"start": some[0].start, "end": some[-1].end}

        files, omissions = with_fallback(composite, single, write, query, write_rows)
        wanted = set(units)
        discard([file for file in files if file.partition[0] not in wanted])
        return (
            [file for file in files if file.partition[0] in wanted],
            {to_unit(window.start, unit): found for window, found in omissions.items()},
        )


def origin_of_build(table: Table, inputs: Mapping[str, Snapshot], calendar: Calendar) -> Origin:
    """What a table is built from, given snapshots of its inputs."""
    if not table.inputs:
        return Origin()
    parent = inputs[table.inputs[0].name]
    return Origin(parent.sequence_number, calendar.revision if table.has_days_of_hours else "")


def _with_input(table: Table, inputs: Mapping[str, Snapshot], windows: Sequence[Window]) -> set[int] | None:
    """The partitions in which the first input, by which they become stale, has files. None for tables without inputs."""
    if not table.inputs:
        return None
    parent, by = inputs[table.inputs[0].name], table.time_field(table.inputs[0])
    span = Window(min(window.start for window in windows), max(window.end for window in windows))
    unit = parent.table.partition_by[by][1]
    changed = parent.changes(*[None] * by, span, index=by)
    return {to_unit(from_unit(value, unit), table.grid) for value in changed}
