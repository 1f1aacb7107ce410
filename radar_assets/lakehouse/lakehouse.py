"""The lakehouse as assets use it: the catalog and the engine together, and the one way in which a table's window is rebuilt."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse.catalog import Build, Catalog, Commit
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.tables import TABLES
from radar_assets.partitions import Window
from radar_assets.settings import Settings

if TYPE_CHECKING:
    from radar_assets.lakehouse.engines.duckdb import DuckDBEngine, Inputs
    from radar_assets.lakehouse.sql import Lineage, Model


class Lakehouse:
    """Tables and the engine that computes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalog = Catalog(settings.database, settings.warehouse)

    @cached_property
    def engine(self) -> "DuckDBEngine":
        """The engine of the setting `RADAR_ENGINE`."""
        from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

        return DuckDBEngine(self.settings.memory, self.settings.threads, self.settings.scratch)

    def snapshot(self, name: str) -> Snapshot:
        """A table as it stands now."""
        return self.catalog.snapshot(name)

    def lineage(self, model: "Model", **relations: tuple[str, ...]) -> "Lineage":
        """Column lineage of a model (`sql.column_lineage`), kept in a file: to read it off the SQL takes about a second."""
        digest = hashlib.sha256(json.dumps([model.sql, relations, list(TABLES)], sort_keys=True).encode()).hexdigest()
        file = self.settings.home / "cache" / f"lineage-{model.name}-{digest[:16]}.json"
        with suppress(OSError, ValueError):
            return {column: [tuple(pair) for pair in pairs] for column, pairs in json.loads(file.read_text()).items()}
        from radar_assets.lakehouse.sql import column_lineage

        found = column_lineage(model, **relations)
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found))
        fresh.replace(file)
        return found

    def rebuild(
        self,
        model: "Model",
        windows: Sequence[Window],
        sources: Iterable[str],
        inputs: "Callable[[Mapping[str, Snapshot], Window], Inputs]",
        parameters: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Replace windows of a model's table by what the model gives for them now, in one commit.

        Args:
            model: named like its table; it is given `$start` and `$end` of each window.
            sources: tables that the model reads. The first one's sequence number is kept with the files.
            inputs: the model's relations for a window, given the sources as they stand.
        """
        table = TABLES[model.name]
        names = list(sources)

        def build(_: Snapshot) -> Build:
            snapshots = {name: self.snapshot(name) for name in names}
            built_from = snapshots[names[0]].sequence_number
            files = [
                file
                for window in windows
                for file in self.engine.write(
                    model,
                    inputs(snapshots, window),
                    {**(parameters or {}), "start": window.start, "end": window.end},
                    table,
                    self.catalog.data_folder(table),
                    built_from,
                )
            ]
            return Build(files, list(windows), built_from)

        return self.catalog.commit(model.name, build)
