"""The assets of the metrics layer: the metrics of the events of an hour and of a day, and what each day consists of."""

from collections.abc import Sequence

import dagster as dg

from radar_assets.lakehouse.sql import Model
from radar_assets.metrics.registry import Metric, compose
from radar_assets.metrics.tables import DAILY_BREAKDOWNS, DAILY_METRICS, HOURLY_METRICS
from radar_assets.orchestration.factory import table_asset
from radar_assets.windows import Grids

LAYER = "radar_assets.metrics"


def build_assets(grids: Grids, metrics: Sequence[Metric]) -> list[dg.AssetsDefinition]:
    """The assets of the layer, on the given grids, with the metrics of the registry."""

    def hourly(model: Model) -> Model:
        return compose(model, metrics, "hour")

    def daily(model: Model) -> Model:
        return compose(model, metrics, "day")

    return [
        table_asset(HOURLY_METRICS, LAYER, grids, compose=hourly),
        table_asset(DAILY_METRICS, LAYER, grids, compose=daily),
        table_asset(DAILY_BREAKDOWNS, LAYER, grids),
    ]
