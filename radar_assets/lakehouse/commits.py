"""What a commit consists of: the files that were built or rewritten, and the result."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radar_assets.lakehouse.files import FileRef, NewFile, Origin, PartitionKey
from radar_assets.lakehouse.omissions import Omissions
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window


@dataclass(frozen=True)
class Build:
    """The result of a build.

    Attributes:
        windows: the windows that the files replace, each with what it was built from.
        omissions: what is missing from partitions in the windows because it could not be computed.
        recorded: the partitions for which the input has something that they were built from, by hour or day since 1970. Those without
            rows get an empty file that records it. None: all partitions of the windows.
    """

    files: list[NewFile]
    windows: Mapping[Window, Origin]
    omissions: Omissions = field(default_factory=dict)
    recorded: Collection[int] | None = None


@dataclass(frozen=True)
class Commit:
    """A committed snapshot: the `partitions` that it touched, and the rows of the whole table after it (`table_rows`)."""

    table: Table
    sequence_number: int
    table_rows: int
    files: tuple[NewFile, ...]
    partitions: frozenset[PartitionKey]
    windows: tuple[Window, ...]

    @property
    def rows(self) -> int:
        """Rows written."""
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes written to data files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class Rewrite:
    """Files of one partition, and the files that hold their rows instead."""

    sources: tuple[FileRef, ...]
    files: tuple[NewFile, ...]

    @property
    def sequence_number(self) -> int:
        """When the rows last changed. The new files keep it, so that nothing looks stale or newly loaded."""
        return max(ref.sequence_number for ref in self.sources)


def discard(files: Iterable[NewFile]) -> None:
    """Delete files that no snapshot refers to."""
    for file in files:
        Path(file.path).unlink(missing_ok=True)
