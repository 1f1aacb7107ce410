"""Data files of a table, committed or just written by an engine, and their partition keys."""

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from radar_assets.lakehouse.table import Table
from radar_assets.windows import DAY, HOUR, Window

EPOCH = datetime(1970, 1, 1)
STEP: dict[str, timedelta] = {"hour": HOUR, "day": DAY}

PartitionKey = tuple[int | None, ...]
"""Hours or days since 1970, one per partition field; None for rows without that time."""


@dataclass(frozen=True, slots=True)
class FileRef:
    """A data file of a snapshot.

    Attributes:
        sequence_number: sequence number of the commit that added the file.
        built_from: sequence number of the input that the file was built from, 0 if not recorded.
        version: version of the table's definition that it was built with.
    """

    path: str
    partition: PartitionKey
    sequence_number: int
    rows: int
    size_bytes: int
    built_from: int = 0
    version: int = 1

    @property
    def local_path(self) -> str:
        """Path of the file, for the engine."""
        return local_path_of(self.path)


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that an engine has written and no snapshot refers to yet.

    Attributes:
        path: its local path.
        nulls: number of nulls per column.
        bounds: smallest and largest value per column, in Iceberg's units, for columns with exact bounds.
        sizes: bytes on disk per column.
    """

    path: str
    partition: PartitionKey
    rows: int
    size_bytes: int
    nulls: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def local_path_of(url: str) -> str:
    """The local path of an Iceberg location, which is `file://` and the path without percent-encoding."""
    return url.removeprefix("file://")


def to_unit(moment: datetime, unit: str) -> int:
    """Whole hours or days since 1970."""
    return (moment - EPOCH) // STEP[unit]


def from_unit(value: int, unit: str) -> datetime:
    """Start of an hour or day, given as a number since 1970."""
    return EPOCH + value * STEP[unit]


def unit_range(table: Table, window: Window, index: int = 0) -> tuple[int, int]:
    """The values of a partition field that a window covers, as a half-open range."""
    step = STEP[table.partition_by[index][1]]
    return (window.start - EPOCH) // step, -((EPOCH - window.end) // step)


def file_stem(table: Table, built_from: int) -> str:
    """Name, without its ending, of a new data file of a table that is built from this sequence number of the input."""
    return f"from-{built_from}-v{table.version}-{uuid.uuid4().hex}"


def origin(path: str) -> tuple[int, int]:
    """The input's sequence number (or 0) and the table's version (or 1) in the name of a data file."""
    match = re.match(r"from-(\d+)-(?:v(\d+)-)?", path.rsplit("/", 1)[-1])
    return (int(match[1]), int(match[2] or 1)) if match else (0, 1)
