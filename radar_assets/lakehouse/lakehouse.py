"""The lakehouse that assets use: catalog, engine, and the function that rebuilds windows of a table."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from radar_assets.lakehouse.catalog import Build, Catalog, Commit, discard
from radar_assets.lakehouse.engines.limits import is_fault_of_statement, time_limit_s
from radar_assets.lakehouse.files import STEP, NewFile, from_unit, unit_range
from radar_assets.lakehouse.graph import Graph
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.omissions import Omission, Omissions
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.table import Table
from radar_assets.settings import Settings
from radar_assets.windows import Window, contiguous

if TYPE_CHECKING:
    import pyarrow as pa

    from radar_assets.lakehouse.engines.base import Engine
    from radar_assets.lakehouse.sql import Lineage, Model


Rescued = tuple["pa.Table", Omissions]
Rescue = Callable[[Callable[[Sequence[Window]], "Inputs"], Sequence[Window]], Rescued]


class Lakehouse:
    """Tables and the engine that computes them."""

    def __init__(self, settings: Settings, tables: Graph) -> None:
        self.settings = settings
        self.tables = tables
        self.catalog = Catalog(settings.database, settings.warehouse, tables)

    @cached_property
    def engine(self) -> "Engine":
        """The engine that `RADAR_ENGINE` selects."""
        from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

        return DuckDBEngine(self.settings.memory, self.settings.threads, self.settings.scratch)

    def snapshot(self, name: str) -> Snapshot:
        """A table as it stands now."""
        return self.catalog.snapshot(name)

    def lineage(self, model: "Model", **relations: tuple[str, ...]) -> "Lineage":
        """Column lineage of a model (`sql.column_lineage`), cached in a file because deriving it takes about a second."""
        digest = hashlib.sha256(
            json.dumps([model.sql, relations, list(self.tables)], sort_keys=True).encode()
        ).hexdigest()
        file = self.settings.home / "cache" / f"lineage-{model.name}-{digest[:16]}.json"
        with suppress(OSError, ValueError):
            return {column: [tuple(pair) for pair in pairs] for column, pairs in json.loads(file.read_text()).items()}
        from radar_assets.lakehouse.sql import column_lineage

        found = column_lineage(model, tuple(self.tables.values()), **relations)
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found))
        fresh.replace(file)
        return found

    def rebuild(
        self,
        model: "Model",
        windows: Sequence[Window],
        inputs: "Callable[[Mapping[str, Snapshot], Sequence[Window]], Inputs]",
        rescue: "Rescue | None" = None,
    ) -> Commit:
        """Replace windows of a model's table by the current result of the model, in one commit.

        Args:
            model: named like its table. It runs for one part of the windows at a time, with `$start` and `$end` of the part.
            inputs: returns the model's relations for windows, given snapshots of the table's inputs. Rows outside the windows are
                dropped.
            rescue: called if the model itself fails or takes too long. Returns what can be computed, for one partition per window,
                and what can't. Without it, the rebuild fails.
        """
        table = self.tables[model.name]
        units = sorted({unit for window in windows for unit in range(*unit_range(table, window))})
        size = self.engine.partitions_a_write
        parts = [units[place : place + size] for place in range(0, len(units), size)]

        def build(_: Snapshot) -> Build:
            snapshots = {parent.name: self.snapshot(parent.name) for parent in table.inputs}
            built_from = snapshots[table.inputs[0].name].sequence_number if table.inputs else 0
            files: list[NewFile] = []
            omissions: dict[int, frozenset[Omission]] = {}
            try:
                for part in parts:
                    written, missing = self._write_part(model, table, part, inputs, snapshots, built_from, rescue)
                    files += written
                    omissions |= missing
            except BaseException:
                discard(files)
                raise
            return Build(files, dict.fromkeys(windows, built_from), omissions)

        return self.catalog.commit(model.name, build)

    def _write_part(
        self,
        model: "Model",
        table: Table,
        units: Sequence[int],
        inputs: "Callable[[Mapping[str, Snapshot], Sequence[Window]], Inputs]",
        snapshots: Mapping[str, Snapshot],
        built_from: int,
        rescue: "Rescue | None",
    ) -> tuple[list[NewFile], Omissions]:
        unit = table.grid
        windows = contiguous((from_unit(value, unit) for value in units), STEP[unit], len(units))
        span = {"start": windows[0].start, "end": windows[-1].end}
        folder = self.catalog.data_folder(table)
        relations, omissions = inputs(snapshots, windows), {}
        try:
            limit_s = time_limit_s(relations) if rescue else None
            files = self.engine.write(model, relations, span, table, folder, built_from, limit_s)
        except Exception as error:
            if rescue is None or not is_fault_of_statement(error):
                raise
            single = [Window(from_unit(value, unit), from_unit(value + 1, unit)) for value in units]
            rows, omissions = rescue(lambda some: inputs(snapshots, some), single)
            computed = replace(model, sql="select * from computed")
            files = self.engine.write(computed, {"computed": rows}, {}, table, folder, built_from)
        wanted = set(units)
        discard([file for file in files if file.partition[0] not in wanted])
        return [file for file in files if file.partition[0] in wanted], omissions
