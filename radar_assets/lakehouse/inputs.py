"""Inputs of a model: relations by name, in a form that any engine accepts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.lakehouse.files import unit_range
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Files:
    """Data files of a table as an input. Without files, it has the table's columns and no rows.

    Attributes:
        evolved: whether files may lack columns that were added to the table later.
    """

    table: Table
    paths: Sequence[str]
    evolved: bool = False

    @property
    def size_bytes(self) -> int:
        """Size of the files."""
        return sum(Path(path).stat().st_size for path in self.paths)

    @classmethod
    def of(cls, snapshot: Snapshot, *windows: Window | None) -> "Files":
        """The files of a snapshot that overlap the windows, one window per partition field."""
        return cls(snapshot.table, snapshot.paths(*windows), snapshot.evolved)

    @classmethod
    def within(cls, snapshot: Snapshot, windows: Sequence[Window], by: int = 0) -> "Files":
        """The files of a snapshot that overlap any of the windows, by one partition field."""
        table = snapshot.table
        units = {unit for window in windows for unit in range(*unit_range(table, window, by))}
        span = Window(min(window.start for window in windows), max(window.end for window in windows))
        limits = [*([None] * by), span]
        paths = [ref.local_path for ref in snapshot.files(*limits) if ref.rows and ref.partition[by] in units]
        return cls(table, paths, snapshot.evolved)


Inputs = Mapping[str, "Files | Path | pa.Table | SqlModel | Callable[[], pa.RecordBatchReader]"]
"""Relations by name: files of a table, a Parquet file, an Arrow table, a query over the relations before it, or a function that opens
an Arrow stream to be read once."""
