"""Data files of a table, committed or just written by an engine, and their partition keys."""

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from radar_assets.lakehouse.table import Table
from radar_assets.windows import DAY, HOUR, Window

EPOCH = datetime(1970, 1, 1)
STEP: dict[str, timedelta] = {"hour": HOUR, "day": DAY}

PartitionKey = tuple[int | None, ...]
"""Hours or days since 1970, one per partition field; None for rows without that time."""


class Origin(NamedTuple):
    """What the rows of a data file were built from.

    Attributes:
        sequence_number: that of the first input; 0 if not recorded.
        calendar: revision of the calendar, for tables of days that are built from hours; empty before the first revision.
    """

    sequence_number: int = 0
    calendar: str = ""


UNRECORDED = Origin()


@dataclass(frozen=True, slots=True)
class FileRef:
    """A data file of a snapshot.

    Attributes:
        sequence_number: sequence number of the commit that added the file.
        version: version of the table's definition that it was built with.
    """

    path: str
    partition: PartitionKey
    sequence_number: int
    rows: int
    size_bytes: int
    origin: Origin = UNRECORDED
    version: int = 1

    @property
    def built_from(self) -> int:
        """Sequence number of the input that the file was built from, 0 if not recorded."""
        return self.origin.sequence_number

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


def file_stem(table: Table, origin: Origin) -> str:
    """Name, without its ending, of a new data file of a table."""
    calendar = f"c{origin.calendar}-" if origin.calendar else ""
    return f"from-{origin.sequence_number}-v{table.version}-{calendar}{uuid.uuid4().hex}"


def origin_of(path: str) -> tuple[Origin, int]:
    """What a data file was built from, and the table's version (or 1), by its name."""
    match = re.match(r"from-(\d+)-(?:v(\d+)-)?(?:c([0-9a-f]{8})-)?", path.rsplit("/", 1)[-1])
    return (Origin(int(match[1]), match[3] or ""), int(match[2] or 1)) if match else (Origin(), 1)
