"""The definitions of the event layer."""

import dagster as dg

from radar_assets.events.assets import build_assets
from radar_assets.events.checks import build_checks
from radar_assets.events.declarations import Declarations
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.windows import Grids


def build_definitions(grids: Grids, lakehouse: Lakehouse, declared: Declarations) -> dg.Definitions:
    """Assets and checks of the layer."""
    return dg.Definitions(assets=build_assets(grids, lakehouse, declared), asset_checks=build_checks())
