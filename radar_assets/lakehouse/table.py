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
        default: SQL over other columns, for rows that were written before the column existed; null without it.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = True
    unit: str | None = None
    default: str | None = None


@dataclass(frozen=True)
class Measure:
    """A number that describes a partition, such as its visitors.

    Attributes:
        name: snake case.
        unit: as for `Column`.
        empty: the value of a partition without rows; None if it has no value then.
    """

    name: str
    unit: str | None = None
    empty: float | None = 0.0


@dataclass(frozen=True)
class Headline:
    """The numbers that describe the partitions of a table to the readers of the UI, in total and by a dimension.

    The layer's `sql/<table>_headline.sql` computes them from rows of the table. It returns a row for each number: `starts_at`, the
    start of the partition; `dimension` and `label`, such as `project` and the project's id, both null in totals; `measure` and
    `value`.

    Attributes:
        layer: package of the layer, such as `radar_assets.metrics`.
        measures: the numbers, in the order in which they are shown.
        plotted: the dimension whose labels have plots of their own; others have a table only.
    """

    layer: str
    measures: tuple[Measure, ...]
    plotted: str | None = "project"


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
        headline: the numbers that each materialization shows first.
        version: version of what its rows mean, raised with each change of it. `radar upgrade` rebuilds partitions of earlier ones.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[tuple[str, Transform], ...]
    key: tuple[str, ...]
    inputs: "tuple[Table, ...]" = ()
    input_time: str | None = None
    headline: Headline | None = None
    version: int = 1

    @property
    def grid(self) -> Transform:
        """Unit of the table's partitions."""
        return self.partition_by[0][1]

    @property
    def origins(self) -> "tuple[Table, ...]":
        """The first input, the first input of that, and so on."""
        return (self.inputs[0], *self.inputs[0].origins) if self.inputs else ()

    @property
    def has_days_of_hours(self) -> bool:
        """Whether the partitions are days, and are stale if hours of them have changed."""
        return self.grid == "day" and bool(self.inputs) and self.inputs[0].grid == "hour"

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
