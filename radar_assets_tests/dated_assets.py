"""Definitions of one asset on the partitions of the home, with which the tests try a UI."""

import dagster as dg

from radar_assets.settings import load_settings
from radar_assets.store.first_day import first_day
from radar_assets.windows import Grids


@dg.asset(partitions_def=Grids(first_day(load_settings())).daily)
def dated() -> None:
    """Nothing."""


defs = dg.Definitions(assets=[dated])
