"""The assets of the metrics layer: what the events of an hour and of a day amount to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.lakehouse.contract import Table
from radar_assets.lakehouse.files import to_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.materialization import materialized, partition_window, table_metadata, windows_to_build
from radar_assets.lakehouse.omissions import Omission
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import Model, load_model
from radar_assets.lakehouse.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.metrics.registry import Metric, compose
from radar_assets.partitions import Grids, Window

if TYPE_CHECKING:
    from radar_assets.lakehouse.engines.duckdb import Inputs
    from radar_assets.lakehouse.lakehouse import Rescued

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
        definitions = {metric.definition for metric in metrics}
        if windows := windows_to_build(context, lakehouse, "events", "hourly_metrics", definitions=definitions):
            yield _computed(context, lakehouse, HOURLY_METRICS, metrics, windows, ["events"])

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
        return _computed(
            context, lakehouse, DAILY_METRICS, metrics, [partition_window(context)], ["sessions", "events"]
        )

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
        commit = lakehouse.rebuild(model, [partition_window(context)], ["sessions", "events"], _inputs)
        return materialized(context, commit, lakehouse.lineage(model))

    return [hourly_metrics, daily_metrics, daily_breakdowns]  # pyright: ignore[reportReturnType] - the decorator makes them definitions


def _computed(
    context: dg.AssetExecutionContext,
    lakehouse: Lakehouse,
    table: Table,
    metrics: Sequence[Metric],
    windows: Sequence[Window],
    sources: list[str],
) -> dg.MaterializeResult:
    """Rebuild windows of a table of metrics, if need be without those that can't be computed."""
    unit = table.partition_by[0][1]

    def composed(some: Sequence[Metric]) -> Model:
        return compose(load_model(LAYER, table.name), some, "hour" if unit == "hour" else "day")

    def rescue(inputs: "Callable[[Sequence[Window]], Inputs]", windows: Sequence[Window]) -> "Rescued":
        from radar_assets.metrics.isolation import computed_apart

        def statement(some: Sequence[Metric], within: Sequence[Window]) -> "tuple[Model, Inputs, dict[str, Any]]":
            return composed(some), inputs(within), {"start": within[0].start, "end": within[-1].end}

        rows, faults = computed_apart(lakehouse.engine, statement, metrics, windows)
        definitions = {metric.name: metric.definition for metric in metrics}
        omissions: dict[int, frozenset[Omission]] = {}
        for (name, window), reason in faults.items():
            value = to_unit(window.start, unit)
            omissions[value] = omissions.get(value, frozenset()) | {Omission(name, definitions[name], reason)}
        return rows, omissions

    model = composed(metrics)
    commit = lakehouse.rebuild(model, windows, sources, _inputs, rescue)
    return materialized(context, commit, lakehouse.lineage(model))


def _inputs(tables: Mapping[str, Snapshot], windows: Sequence[Window]) -> "Inputs":
    from radar_assets.lakehouse.engines.duckdb import Files

    return {name: Files.within(table, windows) for name, table in tables.items()}
