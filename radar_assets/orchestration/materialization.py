"""Metadata for Dagster: the schema of a table, and rows, files, bytes and column lineage of each commit."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.lakehouse.catalog import NAMESPACE, Commit
from radar_assets.lakehouse.files import to_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.staleness import stale_windows
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

INCREMENTAL_TAG = "radar/incremental"
"""Tag of runs that sensors request. They build what is missing or stale; other runs rebuild all their partitions."""

if TYPE_CHECKING:
    from radar_assets.lakehouse.sql import Lineage


def table_metadata(table: Table) -> dict[str, Any]:
    """Metadata of an asset: name and columns of its table."""
    return {
        "dagster/table_name": f"{NAMESPACE}.{table.name}",
        "dagster/column_schema": column_schema(table),
    }


def column_schema(table: Table, lineage: "Lineage | None" = None) -> dg.TableSchema:
    """The columns of a table as a Dagster schema. With a lineage, descriptions include the source columns."""
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
                            _origin(table, (lineage or {}).get(column.name, [])),
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
    """The window of all partitions of a run."""
    span = context.partition_time_window
    return Window(span.start.replace(tzinfo=None), span.end.replace(tzinfo=None))


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
        return stale_windows(parent, child, window, definitions)
    return [window]


def materialized(
    context: dg.AssetExecutionContext, commit: Commit, lineage: "Lineage", **metadata: Any
) -> dg.MaterializeResult:
    """The result of an asset after a commit. In a run over a range, each partition gets its own row count."""
    name = commit.table.name
    unit = commit.table.grid
    rows = commit.rows_by_partition()
    first = to_unit(partition_window(context).start, unit)
    counts = {key: rows.get(first + index, 0) for index, key in enumerate(context.partition_keys)}
    if len(counts) > 1:
        for key, count in counts.items():
            context.add_asset_metadata({"dagster/partition_row_count": count}, asset_key=name, partition_key=key)
    # The UI doesn't draw column lineage, but shows the columns of the latest materialization.
    schema = {"dagster/column_schema": column_schema(commit.table, lineage)}
    context.add_asset_metadata(schema, asset_key=name, partition_key=context.partition_keys[-1])
    return dg.MaterializeResult(
        asset_key=name,
        metadata={
            **({"dagster/partition_row_count": next(iter(counts.values()))} if len(counts) == 1 else {}),
            "dagster/row_count": commit.table_rows,
            "dagster/column_lineage": column_lineage(lineage, name),
            "rows_written": commit.rows,
            "files_written": len(commit.files),
            "bytes_written": commit.size_bytes,
            "sequence_number": commit.sequence_number,
            **metadata,
        },
    )


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
