"""The definitions of the metrics layer."""

from collections.abc import Sequence

import dagster as dg

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.metrics.assets import build_assets
from radar_assets.metrics.checks import build_checks
from radar_assets.metrics.registry import Metric
from radar_assets.windows import Grids


def build_definitions(grids: Grids, metrics: Sequence[Metric], lakehouse: Lakehouse) -> dg.Definitions:
    """The assets and checks of the layer, with the metrics of the registry."""
    return dg.Definitions(assets=build_assets(grids, metrics, lakehouse), asset_checks=build_checks())
