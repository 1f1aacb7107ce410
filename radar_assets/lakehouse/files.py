"""Data files of a table: those that a snapshot holds and those that an engine has just written, and their partition keys."""

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
"""Hours or days since 1970, one for each partition field; None for rows without that time."""


@dataclass(frozen=True)
class FileRef:
    """A data file that a snapshot holds.

    Attributes:
        sequence_number: of the commit that added the file.
        built_from: sequence number of the input that the file was built from, 0 where that was not recorded.
    """

    path: str
    partition: PartitionKey
    sequence_number: int
    rows: int
    size_bytes: int
    built_from: int = 0

    @property
    def local_path(self) -> str:
        """The file's path as the engine opens it."""
        return local_path_of(self.path)


@dataclass(frozen=True)
class NewFile:
    """A Parquet file that an engine has written and that no snapshot refers to yet.

    Attributes:
        path: its local path.
        nulls: number of nulls by column.
        bounds: smallest and largest value by column, in Iceberg's units, for the columns whose bounds are exact.
        sizes: bytes on disk by column.
    """

    path: str
    partition: PartitionKey
    rows: int
    size_bytes: int
    nulls: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def local_path_of(url: str) -> str:
    """The local path in an Iceberg location, which is written as it is: `file://` and the path, nothing percent-encoded."""
    return url.removeprefix("file://")


def to_unit(moment: datetime, unit: str) -> int:
    """Whole hours or days since 1970."""
    return (moment - EPOCH) // STEP[unit]


def from_unit(value: int, unit: str) -> datetime:
    """Start of an hour or day that is given as a number since 1970."""
    return EPOCH + value * STEP[unit]


def unit_range(table: Table, window: Window, place: int = 0) -> tuple[int, int]:
    """The half-open range of values of a partition field that a window covers."""
    step = STEP[table.partition_by[place][1]]
    return (window.start - EPOCH) // step, -((EPOCH - window.end) // step)


def file_stem(built_from: int) -> str:
    """Start of the name of a data file that is built from the input's state of that sequence number."""
    return f"from-{built_from}-{uuid.uuid4().hex}"


def built_from(path: str) -> int:
    """The input's sequence number in the name of a data file, 0 where there is none."""
    match = re.match(r"from-(\d+)-", path.rsplit("/", 1)[-1])
    return int(match[1]) if match else 0
