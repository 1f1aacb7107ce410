"""Builds Dagster assets from table declarations."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import dagster as dg

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import Lineage, load_model
from radar_assets.lakehouse.table import Measure, Table
from radar_assets.orchestration.job_kinds import AGGREGATION
from radar_assets.orchestration.materialization import (
    INCREMENTAL_TAG,
    materialized,
    partition_window,
    table_metadata,
    windows_to_build,
)
from radar_assets.windows import Grids, Window

OWNERS = ["team:radar"]
ModelInputs = Callable[[Mapping[str, Snapshot], Sequence[Window], Calendar], Inputs]
"""As `inputs` of `Lakehouse.rebuild`."""


class Rebuild(Protocol):
    """Rebuilds windows of a table and returns the commit. `retry` is as for `Lakehouse.rebuild`."""

    def __call__(self, lakehouse: Lakehouse, windows: Sequence[Window], *, retry: bool) -> Commit:
        """Rebuild the windows."""
        ...


def table_options(table: Table, layer: str, grids: Grids, lineage: Lineage) -> dict[str, Any]:
    """The arguments of `dagster.asset` that derive from a table's declaration.

    Args:
        layer: package of the layer that owns the table, such as `radar_assets.metrics`. Its last part is the asset group.
    """
    return {
        "name": table.name,
        "group_name": layer.rpartition(".")[2],
        "owners": OWNERS,
        "pool": AGGREGATION.pool,
        "partitions_def": grids.of(table.grid),
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "kinds": {"duckdb", "iceberg"},
        "deps": [parent.name for parent in table.inputs],
        "description": table.description,
        "metadata": table_metadata(table, lineage),
    }


def table_asset(
    table: Table,
    layer: str,
    grids: Grids,
    lakehouse: Lakehouse,
    *,
    lineage: Lineage | None = None,
    inputs: ModelInputs | None = None,
    rebuild: Rebuild | None = None,
    definitions: Collection[str] = (),
    measures: Sequence[Measure] = (),
    op_tags: Mapping[str, str] | None = None,
) -> dg.AssetsDefinition:
    """The asset of a table that is the result of its SQL.

    In incremental runs, an hourly asset rebuilds only stale hours. A daily asset always rebuilds all days of the run, because days are
    requested one by one.

    Args:
        layer: as for `table_options`.
        lakehouse: derives the column lineage.
        lineage: the column lineage, if `sql/<table>.sql` of the layer is not the whole model.
        inputs: the relations that the model reads for windows; the files of its inputs over the same windows by default.
        rebuild: replaces running the model, for tables that need more.
        definitions: as for `staleness.outdated`.
        measures: measures of the headline besides those of the table's declaration.
    """

    model = load_model(layer, table.name)
    options = table_options(table, layer, grids, lakehouse.lineage(model) if lineage is None else lineage)

    @dg.asset(**options, op_tags=op_tags, output_required=table.grid == "day")
    def rebuilt(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        windows = (
            windows_to_build(context, lakehouse, table, definitions)
            if table.grid == "hour"
            else [partition_window(context)]
        )
        if windows:
            is_incremental = INCREMENTAL_TAG in context.run.tags
            commit = (rebuild or run_model)(lakehouse, windows, retry=not is_incremental)
            yield materialized(context, lakehouse, commit, measures=measures)

    def run_model(lakehouse: Lakehouse, windows: Sequence[Window], *, retry: bool) -> Commit:
        return lakehouse.rebuild(model, windows, inputs or same_windows, retry=retry)

    return rebuilt  # pyright: ignore[reportReturnType] - the decorator makes it a definition


def same_windows(tables: Mapping[str, Snapshot], windows: Sequence[Window], _calendar: Calendar) -> Inputs:
    """The files of tables that hold the windows."""
    return {name: Files.within(table, windows) for name, table in tables.items()}
