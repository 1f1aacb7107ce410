"""Definitions of one asset on the partitions of the home, with which the tests try a UI."""

import dagster as dg

from radar_assets.orchestration.grids import load_grids
from radar_assets.settings import load_settings


@dg.asset(partitions_def=load_grids(load_settings()).daily)
def dated() -> None:
    """Nothing."""


defs = dg.Definitions(assets=[dated])
