"""The assets of the metrics layer: what the events of an hour and of a day amount to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.materialization import materialized, partition_window, table_metadata, windows_to_build
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import Model, load_model
from radar_assets.lakehouse.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.metrics.registry import Metric, compose
from radar_assets.partitions import Grids, Window

if TYPE_CHECKING:
    from radar_assets.lakehouse.engines.duckdb import Inputs

LAYER = "radar_assets.metrics"
GROUP = "metrics"
OWNERS = ["team:radar"]


def build_assets(grids: Grids, metrics: Sequence[Metric]) -> list[dg.AssetsDefinition]:
    """The assets of the layer, on the given grids, with the metrics of the registry."""
    common = {
        "group_name": GROUP,
        "owners": OWNERS,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "kinds": {"duckdb", "iceberg"},
    }

    @dg.asset(
        **common,
        partitions_def=grids.hourly,
        deps=["events"],
        output_required=False,
        description=HOURLY_METRICS.description,
        metadata=table_metadata(HOURLY_METRICS),
    )
    def hourly_metrics(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> Iterator[dg.MaterializeResult]:
        if windows := windows_to_build(context, lakehouse, "events", "hourly_metrics"):
            model = compose(load_model(LAYER, "hourly_metrics"), metrics, "hour")
            yield _rebuilt(context, lakehouse, model, windows, ["events"])

    @dg.asset(
        **common,
        partitions_def=grids.daily,
        deps=["events", "sessions"],
        description=DAILY_METRICS.description,
        metadata=table_metadata(DAILY_METRICS),
    )
    def daily_metrics(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> dg.MaterializeResult:
        model = compose(load_model(LAYER, "daily_metrics"), metrics, "day")
        return _rebuilt(context, lakehouse, model, [partition_window(context)], ["sessions", "events"])

    @dg.asset(
        **common,
        partitions_def=grids.daily,
        deps=["events", "sessions"],
        description=DAILY_BREAKDOWNS.description,
        metadata=table_metadata(DAILY_BREAKDOWNS),
    )
    def daily_breakdowns(
        context: dg.AssetExecutionContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> dg.MaterializeResult:
        model = load_model(LAYER, "daily_breakdowns")
        return _rebuilt(context, lakehouse, model, [partition_window(context)], ["sessions", "events"])

    return [hourly_metrics, daily_metrics, daily_breakdowns]  # pyright: ignore[reportReturnType] - the decorator makes them definitions


def _rebuilt(
    context: dg.AssetExecutionContext, lakehouse: Lakehouse, model: Model, windows: Sequence[Window], sources: list[str]
) -> dg.MaterializeResult:
    from radar_assets.lakehouse.engines.duckdb import Files

    def inputs(tables: Mapping[str, Snapshot], windows: Sequence[Window]) -> "Inputs":
        return {name: Files.within(table, windows) for name, table in tables.items()}

    return materialized(context, lakehouse.rebuild(model, windows, sources, inputs), lakehouse.lineage(model))
