"""The assets of the metrics layer: the metrics of the events of an hour and of a day, and what each day consists of."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.lakehouse.catalog import Commit
from radar_assets.lakehouse.files import to_unit
from radar_assets.lakehouse.inputs import Inputs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.omissions import Omission
from radar_assets.lakehouse.sql import Model, load_model
from radar_assets.lakehouse.table import Table
from radar_assets.metrics.registry import Metric, compose
from radar_assets.metrics.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.orchestration.factory import same_windows, table_asset
from radar_assets.windows import Grids, Window

if TYPE_CHECKING:
    from radar_assets.lakehouse.lakehouse import Rescued

LAYER = "radar_assets.metrics"


def build_assets(grids: Grids, metrics: Sequence[Metric]) -> list[dg.AssetsDefinition]:
    """The assets of the layer, on the given grids, with the metrics of the registry."""
    definitions = definitions_of(metrics)

    def metric_asset(table: Table) -> dg.AssetsDefinition:
        def rebuild(lakehouse: Lakehouse, windows: Sequence[Window]) -> tuple[Commit, Model]:
            return rebuild_metrics(lakehouse, table, metrics, windows)

        return table_asset(table, LAYER, grids, rebuild=rebuild, definitions=definitions[table.name])

    return [
        metric_asset(HOURLY_METRICS),
        metric_asset(DAILY_METRICS),
        table_asset(DAILY_BREAKDOWNS, LAYER, grids),
    ]


def definitions_of(metrics: Sequence[Metric]) -> dict[str, frozenset[str]]:
    """Digests of the metrics by table. A metric that was left out of a partition is tried again once its digest has changed."""
    digests = frozenset(metric.definition for metric in metrics)
    return {HOURLY_METRICS.name: digests, DAILY_METRICS.name: digests}


def rebuild_metrics(
    lakehouse: Lakehouse, table: Table, metrics: Sequence[Metric], windows: Sequence[Window]
) -> tuple[Commit, Model]:
    """Rebuild windows of a table of metrics, if need be without those that can't be computed."""

    def composed(some: Sequence[Metric]) -> Model:
        return compose(load_model(LAYER, table.name), some, table.grid)

    def rescue(inputs: Callable[[Sequence[Window]], Inputs], windows: Sequence[Window]) -> "Rescued":
        from radar_assets.metrics.isolation import computed_apart

        def statement(some: Sequence[Metric], within: Sequence[Window]) -> tuple[Model, Inputs, dict[str, Any]]:
            return composed(some), inputs(within), {"start": within[0].start, "end": within[-1].end}

        rows, faults = computed_apart(lakehouse.engine, statement, metrics, windows)
        digests: Mapping[str, str] = {metric.name: metric.definition for metric in metrics}
        omissions: dict[int, frozenset[Omission]] = {}
        for (name, window), reason in faults.items():
            value = to_unit(window.start, table.grid)
            omissions[value] = omissions.get(value, frozenset()) | {Omission(name, digests[name], reason)}
        return rows, omissions

    model = composed(metrics)
    return lakehouse.rebuild(model, windows, same_windows, rescue), model
