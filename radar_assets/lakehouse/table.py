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
        unit: the unit of a number, such as `s`, `bytes` or `events`; `None` if it has none.
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
        columns: in stored order. A column's field id is its position, so new columns go to the end.
        partition_by: `(column, transform)` pairs. Windows of the table are replaced by the first one.
        key: the columns that identify a row.
        inputs: the tables that it is built from. A partition is stale if the first input has changed since it was built, so list
            the input that changes last first.
        input_time: the partition column of the first input that matches this table's partitions, if it is not the input's window
            column.
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
        """Unit of the table's partitions."""
        return self.partition_by[0][1]

    @property
    def origins(self) -> "tuple[Table, ...]":
        """The first input, the first input of that, and so on."""
        return (self.inputs[0], *self.inputs[0].origins) if self.inputs else ()

    def time_field(self, parent: "Table") -> int:
        """Index of the parent's partition field that matches this table's partitions."""
        if self.input_time is None or parent.name != self.inputs[0].name:
            return 0
        return [column for column, _ in parent.partition_by].index(self.input_time)

    @property
    def window_column(self) -> str:
        """The column that decides which window a row belongs to."""
        return self.partition_by[0][0]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)
