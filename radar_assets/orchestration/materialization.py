"""Metadata for Dagster: schema and column lineage of a table; headline, rows, files and bytes of each materialization."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.lakehouse.catalog import NAMESPACE
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.files import STEP, FileRef, NewFile, from_unit, to_unit, unit_range
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.staleness import stale_windows
from radar_assets.lakehouse.table import Measure, Table
from radar_assets.orchestration.headline import Metadata, headlines
from radar_assets.windows import Window, contiguous, to_window

INCREMENTAL_TAG = "radar/incremental"
"""Tag of runs that sensors request. They build what is missing or stale; other runs rebuild all their partitions."""

if TYPE_CHECKING:
    from radar_assets.lakehouse.sql import Lineage


def table_metadata(table: Table, lineage: "Lineage") -> dict[str, Any]:
    """Metadata of an asset: name, columns and column lineage of its table.

    Not of its materializations, where they would be three quarters of what a run stores in Dagster's database.
    """
    return {
        "dagster/table_name": f"{NAMESPACE}.{table.name}",
        # The UI doesn't draw column lineage, so descriptions say it as well.
        "dagster/column_schema": column_schema(table, lineage),
        "dagster/column_lineage": column_lineage(lineage, table.name),
    }


def column_schema(table: Table, lineage: "Lineage") -> dg.TableSchema:
    """The columns of a table as a Dagster schema. Descriptions include the source columns."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=" ".join(
                    filter(
                        None,
                        [
                            column.description,
                            f"Unit: {column.unit}." if column.unit else "",
                            _origin(table, lineage.get(column.name, [])),
                        ],
                    )
                ),
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ]
    )


def _origin(table: Table, sources: "Sequence[tuple[str, str]]") -> str:
    columns = [f"{source}.{name}" for source, name in sources if source != table.name]
    return f"From {', '.join(columns)}." if columns else ""


def partition_window(context: dg.AssetExecutionContext) -> Window:
    """The window that spans all partitions of a run."""
    span = context.partition_time_window
    return Window(span.start.replace(tzinfo=None), span.end.replace(tzinfo=None))


def partition_units(context: dg.AssetExecutionContext, table: Table) -> list[int]:
    """The partitions of a run, by hour or day since 1970, in order. There may be gaps between them."""
    return [to_unit(to_window(key).start, table.grid) for key in context.partition_keys]


def windows_to_build(
    context: dg.AssetExecutionContext, lakehouse: Lakehouse, table: Table, definitions: Collection[str] = ()
) -> list[Window]:
    """The windows that a run rebuilds: stale partitions in an incremental run, else all of its partitions.

    Args:
        definitions: as for `outdated`.
    """
    window = partition_window(context)
    if INCREMENTAL_TAG in context.run.tags:
        parent, child = lakehouse.snapshot(table.inputs[0].name), lakehouse.snapshot(table.name)
        windows = stale_windows(parent, child, lakehouse.calendar(), window, definitions)
    else:
        windows = [window]
    of_run = set(partition_units(context, table))
    units = [unit for each in windows for unit in range(*unit_range(table, each)) if unit in of_run]
    return contiguous((from_unit(unit, table.grid) for unit in units), STEP[table.grid], len(units))


def materialized(
    context: dg.AssetExecutionContext,
    lakehouse: Lakehouse,
    commit: Commit,
    *,
    measures: Sequence[Measure] = (),
    files: Sequence[FileRef] | None = None,
    numbers: Mapping[int, Metadata] | None = None,
    **metadata: Any,
) -> dg.MaterializeResult:
    """The result of an asset after a commit. In a run over a range, each partition gets its own headline and row count.

    Args:
        measures: measures besides those of the table's declaration.
        files: the files of the run's partitions, if the commit has added to them rather than replaced them.
        numbers: the headlines by hour or day since 1970, if the table declares none.
    """
    table = commit.table
    window = partition_window(context)
    units = partition_units(context, table)
    written: Sequence[NewFile | FileRef] = commit.files if files is None else files
    if files is None and not _covers(commit, units):
        written = lakehouse.snapshot(table.name).files(window)
    rows = Counter[int]()
    for file in written:
        rows[file.partition[0] or 0] += file.rows
    if numbers is None:
        paths = [file.path if isinstance(file, NewFile) else file.local_path for file in written if file.rows]
        numbers = headlines(lakehouse, Files(table, paths, written is not commit.files), units, measures)
    common = {
        "dagster/row_count": commit.table_rows,
        **metadata,
        # In one entry, since Dagster draws a plot of each number, in the order of their names.
        "commit": {
            "rows": commit.rows,
            "files": len(commit.files),
            "bytes": commit.size_bytes,
            "sequence_number": commit.sequence_number,
        },
    }
    calendar = lakehouse.calendar() if table.grid == "day" else None
    for unit, key in zip(units, context.partition_keys, strict=True):
        # All in one place, because Dagster puts the metadata of a partition after those of the result.
        of_partition = {**numbers.get(unit, {}), "dagster/partition_row_count": rows[unit], **common}
        if calendar:
            hours = calendar.hours_of(Window.of_day(from_unit(unit, "day").date()))
            of_partition["hours_utc"] = f"{hours.start:%Y-%m-%d %H:%M} to {hours.end:%Y-%m-%d %H:%M}"
        context.add_asset_metadata(of_partition, asset_key=table.name, partition_key=key)
    return dg.MaterializeResult(asset_key=table.name)


def _covers(commit: Commit, units: Iterable[int]) -> bool:
    """Whether a commit has replaced all of these partitions."""
    replaced = {unit for window in commit.windows for unit in range(*unit_range(commit.table, window))}
    return replaced.issuperset(units)


def column_lineage(lineage: "Lineage", table: str) -> dg.TableColumnLineage:
    """Column lineage as Dagster metadata, without columns that come from the table itself."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(source), column_name=name)
                for source, name in sources
                if source != table
            ]
            for column, sources in lineage.items()
        }
    )
