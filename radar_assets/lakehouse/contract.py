"""What a table promises: its columns, their types, units and meaning, and how its files are partitioned.

One description, from which the Iceberg schema, the Dagster column schema and the schema check are made.
"""

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["string", "long", "int", "double", "boolean", "timestamp", "date", "binary", "decimal(18,4)"]
Transform = Literal["hour", "day"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        type: an Iceberg type; `timestamp` is UTC without a zone, in microseconds.
        unit: what a number counts, such as `s`, `bytes` or `events`; `None` where the description says it all.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = True
    unit: str | None = None


@dataclass(frozen=True)
class Table:
    """A table's contract.

    Attributes:
        columns: in the order in which they are stored; a column's field id is its place, so new ones go to the end.
        partition_by: `(column, transform)` pairs; the first one is the time by which windows of the table are replaced.
        key: the columns that tell one row from every other.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[tuple[str, Transform], ...]
    key: tuple[str, ...]

    @property
    def window_column(self) -> str:
        """The column whose time decides which window a row belongs to."""
        return self.partition_by[0][0]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)
