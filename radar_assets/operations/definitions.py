"""The definitions of the operations layer."""

from collections.abc import Iterable, Sequence

import dagster as dg

from radar_assets.lakehouse.table import Table
from radar_assets.operations import assets, automation
from radar_assets.operations.health.assets import build_asset
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.operations.settings import OperationsSettings


def build_definitions(
    tables: Iterable[Table], settings: OperationsSettings, urls: Sequence[WatchedUrl] = ()
) -> dg.Definitions:
    """Assets, jobs and schedules of the layer.

    Args:
        urls: that the health checks request, besides Radar's own parts.
    """
    return dg.Definitions(
        assets=[*assets.build_assets(tables, settings), build_asset(settings, urls)],
        jobs=automation.build_jobs(),
        schedules=automation.build_schedules(),
    )
