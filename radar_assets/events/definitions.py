"""The definitions of the event layer."""

from collections.abc import Sequence

import dagster as dg

from radar_assets.events.assets import build_assets
from radar_assets.events.checks import build_checks
from radar_assets.events.event_names import EventName
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.windows import Grids


def build_definitions(grids: Grids, lakehouse: Lakehouse, names: Sequence[EventName] = ()) -> dg.Definitions:
    """Assets and checks of the layer.

    Args:
        names: the event names of `radar.yaml`.
    """
    return dg.Definitions(assets=build_assets(grids, lakehouse, names), asset_checks=build_checks())
