"""The rows of a table that differ between two of its snapshots, by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from radar_assets.lakehouse.files import STEP, from_unit, to_unit
from radar_assets.lakehouse.frames import MAX_VALUES, FrameTooLargeError
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.windows import Window

if TYPE_CHECKING:
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.table import Table

Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Difference:
    """A row that was added, removed or changed.

    Attributes:
        key: the values of the table's key columns.
        before, after: the values of the other columns; None if there was no such row.
    """

    kind: Kind
    key: Mapping[str, Any]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    def columns(self) -> list[str]:
        """The columns whose values differ. In a row that was added or removed, those that are not null."""
        before, after = self.before or {}, self.after or {}
        return [name for name in (before or after) if before.get(name) != after.get(name)]

    def windows(self, table: "Table") -> set[Window]:
        """The windows of the partitions that the row is or was in."""
        column, unit = table.partition_by[0]
        times = {row.get(column, self.key.get(column)) for row in (self.before, self.after) if row is not None}
        return {_partition(time, unit) for time in times if time is not None}


def differences(
    lakehouse: "Lakehouse", before: Snapshot, after: Snapshot, project: str | None = None
) -> list[Difference]:
    """The rows that differ between two snapshots of a table, ordered by time and key.

    Only files that one of the snapshots lacks are read, so two snapshots of a large table that have most files in common are compared
    quickly.

    Raises:
        FrameTooLargeError: the rows would not fit in memory.
    """
    table = after.table
    relations = {"rows_before": files_beyond(before, after), "rows_after": files_beyond(after, before)}
    values = [name for name in table.column_names if name not in table.key]
    statement = _statement(table, values, has_project=project is not None)
    parameters = {} if project is None else {"project": project}
    count = SqlModel("differing_rows", f"select count(*) as n from ({statement})")
    if lakehouse.engine.query(count, relations, parameters)["n"][0].as_py() * len(table.columns) > MAX_VALUES:
        raise FrameTooLargeError(
            f"too many rows of {table.name} differ; compare two times that are closer, or one project"
        )
    order = ", ".join(f'"{name}"' for name in table.key)
    rows = lakehouse.engine.query(
        SqlModel("differences", f"{statement} order by starts_at, {order}"), relations, parameters
    )
    return [_difference(table, values, row) for row in rows.to_pylist()]


def files_beyond(snapshot: Snapshot, other: Snapshot | None, *windows: Window | None) -> Files:
    """The files of a snapshot that another one lacks, as an input. Files never change, so those of both hold the same rows."""
    common = {*other.paths(*windows)} if other else set[str]()
    paths = [path for path in snapshot.paths(*windows) if path not in common]
    return Files(snapshot.table, paths, snapshot.evolved)


def _statement(table: "Table", values: Sequence[str], *, has_project: bool) -> str:
    """The statement for the rows that differ. Identifiers are those of the table's declaration."""
    where = "where project_id = $project" if has_project else ""
    on = " and ".join(f'b."{name}" is not distinct from a."{name}"' for name in table.key)
    keys = ", ".join(f'coalesce(a."{name}", b."{name}") as "{name}"' for name in table.key)
    sides = ", ".join(f'{side}."{name}" as "{side}_{name}"' for side in "ba" for name in values)
    differ = " or ".join(f'b."{name}" is distinct from a."{name}"' for name in values)
    window = f'coalesce(a."{table.window_column}", b."{table.window_column}")'
    return f"""
        select
            {keys}, {sides}, {window} as starts_at,
            case when b.is_there is null then 'added' when a.is_there is null then 'removed' else 'changed' end as kind
        from (select *, true as is_there from rows_before {where}) as b
        full join (select *, true as is_there from rows_after {where}) as a on {on}
        where b.is_there is null or a.is_there is null or {differ or "false"}
    """


def _difference(table: "Table", values: Sequence[str], row: Mapping[str, Any]) -> Difference:
    before, after = ({name: row[f"{side}_{name}"] for name in values} for side in "ba")
    kind = row["kind"]
    return Difference(
        kind,
        {name: row[name] for name in table.key},
        None if kind == "added" else before,
        None if kind == "removed" else after,
    )


def _partition(time: date, unit: str) -> Window:
    moment = time if isinstance(time, datetime) else datetime(time.year, time.month, time.day)
    start = from_unit(to_unit(moment, unit), unit)
    return Window(start, start + STEP[unit])
