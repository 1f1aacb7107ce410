"""From the declaration of a table to its Dagster asset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from radar_assets.lakehouse.contract import Table
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import Model, load_model
from radar_assets.orchestration.materialization import (
    materialized,
    partition_window,
    table_metadata,
    windows_to_build,
)
from radar_assets.windows import Grids, Window

OWNERS = ["team:radar"]


def table_options(table: Table, layer: str, grids: Grids) -> dict[str, Any]:
    """The options of `dagster.asset` that follow from a table's declaration.

    Args:
        layer: package of the layer that owns the table, such as `radar_assets.metrics`; its last part is the group.
    """
    return {
        "name": table.name,
        "group_name": layer.rpartition(".")[2],
        "owners": OWNERS,
        "partitions_def": grids.of(table.grid),
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "kinds": {"duckdb", "iceberg"},
        "deps": [parent.name for parent in table.inputs],
        "description": table.description,
        "metadata": table_metadata(table),
    }


def table_asset(
    table: Table,
    layer: str,
    grids: Grids,
    *,
    compose: Callable[[Model], Model] = lambda model: model,
    op_tags: Mapping[str, str] | None = None,
) -> dg.AssetsDefinition:
    """The asset of a table whose SQL reads its inputs over the same windows.

    An hourly one rebuilds only its stale hours in incremental runs. Days are asked for one by one, so a daily one rebuilds all of
    those that it is given.

    Args:
        layer: as for `table_options`; `sql/<table>.sql` in it is the model.
        compose: completes the model when the asset runs.
    """

    @dg.asset(**table_options(table, layer, grids), op_tags=op_tags, output_required=table.grid == "day")
    def rebuild(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        windows = windows_to_build(context, lakehouse, table) if table.grid == "hour" else [partition_window(context)]
        if windows:
            model = compose(load_model(layer, table.name))
            yield materialized(context, lakehouse.rebuild(model, windows, _same_windows), lakehouse.lineage(model))

    return rebuild  # pyright: ignore[reportReturnType] - the decorator makes it a definition


def _same_windows(tables: Mapping[str, Snapshot], windows: Sequence[Window]) -> Inputs:
    return {name: Files.within(table, windows) for name, table in tables.items()}
