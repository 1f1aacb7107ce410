"""The assets of the metrics layer: hourly metrics, daily metrics and daily breakdowns."""

from collections.abc import Sequence

import dagster as dg

from radar_assets.events.local_days import DAY_RELATIONS, local_days
from radar_assets.lakehouse.commits import Commit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.table import Measure, Table
from radar_assets.metrics.composition import compose, composite
from radar_assets.metrics.registry import CustomMetric, Metric
from radar_assets.metrics.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS, LAYER
from radar_assets.orchestration.factory import same_windows, table_asset
from radar_assets.windows import Grids, Window

MAX_CUSTOM = 5
"""Custom metrics in the headlines; the tables have all."""


def build_assets(grids: Grids, metrics: Sequence[Metric], lakehouse: Lakehouse) -> list[dg.AssetsDefinition]:
    """The assets of the layer, with the metrics of the registry."""
    definitions = definitions_of(metrics)
    measures = {table.name: _custom_measures(table, metrics) for table in (HOURLY_METRICS, DAILY_METRICS)}

    def metric_asset(table: Table) -> dg.AssetsDefinition:
        model, parts = load_model(LAYER, table.name), definitions[table.name]
        whole = composite(lambda some: compose(model, some, table.grid), metrics)

        def rebuild(lakehouse: Lakehouse, windows: Sequence[Window], *, retry: bool) -> Commit:
            inputs = same_windows if table.grid == "hour" else local_days
            return lakehouse.rebuild(whole, windows, inputs, retry=retry)

        return table_asset(
            table,
            LAYER,
            grids,
            lakehouse,
            lineage=lakehouse.lineage(model, lambda: whole.model, sorted(parts), **DAY_RELATIONS),
            rebuild=rebuild,
            definitions=parts,
            measures=measures[table.name],
        )

    return [
        metric_asset(HOURLY_METRICS),
        metric_asset(DAILY_METRICS),
        table_asset(
            DAILY_BREAKDOWNS,
            LAYER,
            grids,
            lakehouse,
            lineage=lakehouse.lineage(load_model(LAYER, DAILY_BREAKDOWNS.name), **DAY_RELATIONS),
            inputs=local_days,
        ),
    ]


def _custom_measures(table: Table, metrics: Sequence[Metric]) -> list[Measure]:
    """The first custom metrics that a table's headline shows: counts and sums, whose totals over projects mean something."""
    custom = [metric for metric in metrics if isinstance(metric, CustomMetric) and table.grid in metric.grains]
    chosen = [metric for metric in custom if metric.empty_value == 0][:MAX_CUSTOM]
    return [Measure(metric.name, metric.unit) for metric in chosen]


def definitions_of(metrics: Sequence[Metric]) -> dict[str, frozenset[str]]:
    """Digests of the metrics by table. An omitted metric is computed again once its digest has changed."""
    digests = frozenset(metric.definition for metric in metrics)
    return {HOURLY_METRICS.name: digests, DAILY_METRICS.name: digests}
