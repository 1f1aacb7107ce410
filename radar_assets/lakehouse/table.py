"""The declaration of a table: its columns, their types, units and meaning, its time grid, and the tables it is built from.

The Iceberg schema, Dagster's column schema and dependencies, staleness, jobs and sensors all derive from it.
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
    """A table's declaration.

    Attributes:
        columns: in the order in which they are stored; a column's field id is its place, so new ones go to the end.
        partition_by: `(column, transform)` pairs; the first one is the time by which windows of the table are replaced.
        key: the columns that tell one row from every other.
        inputs: the tables that it is built from. A partition is stale while the first of them has changed since; the first is
            therefore the one that changes last.
        input_time: the partition column of the first input whose time is that of this table's partitions, where that is not the
            input's own window column.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[tuple[str, Transform], ...]
    key: tuple[str, ...]
    inputs: "tuple[Table, ...]" = ()
    input_time: str | None = None

    @property
    def grid(self) -> Transform:
        """The unit of its partitions."""
        return self.partition_by[0][1]

    @property
    def origins(self) -> "tuple[Table, ...]":
        """The first input, the first input of that, and so on."""
        return (self.inputs[0], *self.inputs[0].origins) if self.inputs else ()

    def time_field(self, parent: "Table") -> int:
        """The place of the parent's partition field whose time is that of this table's partitions."""
        if self.input_time is None or parent.name != self.inputs[0].name:
            return 0
        return [column for column, _ in parent.partition_by].index(self.input_time)

    @property
    def window_column(self) -> str:
        """The column whose time decides which window a row belongs to."""
        return self.partition_by[0][0]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)
