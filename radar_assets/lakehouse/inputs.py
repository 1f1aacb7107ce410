"""What a model reads: the relations that an engine is given by name, whichever engine it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.lakehouse.files import unit_range
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Files:
    """Data files of a table as an input; without any, the table's columns and no row.

    Attributes:
        evolved: whether some of the files may lack columns that the contract has gained since.
    """

    table: Table
    paths: Sequence[str]
    evolved: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of the files."""
        return sum(Path(path).stat().st_size for path in self.paths)

    @classmethod
    def of(cls, snapshot: Snapshot, *windows: Window | None) -> "Files":
        """Those files of a snapshot that overlap the windows, one for each partition field."""
        return cls(snapshot.table, snapshot.paths(*windows), snapshot.evolved)

    @classmethod
    def within(cls, snapshot: Snapshot, windows: Sequence[Window], by: int = 0) -> "Files":
        """Those files of a snapshot that overlap any of the windows, by one of its partition fields."""
        table = snapshot.table
        units = {unit for window in windows for unit in range(*unit_range(table, window, by))}
        span = Window(min(window.start for window in windows), max(window.end for window in windows))
        limits = [*([None] * by), span]
        paths = [ref.local_path for ref in snapshot.files(*limits) if ref.rows and ref.partition[by] in units]
        return cls(table, paths, snapshot.evolved)


Inputs = Mapping[str, "Files | Path | pa.Table | Callable[[], pa.RecordBatchReader]"]
"""Relations by name: files of a table, a Parquet file, an Arrow table, or what opens an Arrow stream, which a statement reads once."""
