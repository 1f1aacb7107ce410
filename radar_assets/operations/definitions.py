"""The definitions of the operations layer."""

from collections.abc import Iterable

import dagster as dg

from radar_assets.lakehouse.table import Table
from radar_assets.operations import assets, automation
from radar_assets.operations.settings import OperationsSettings


def build_definitions(tables: Iterable[Table], settings: OperationsSettings) -> dg.Definitions:
    """Assets, jobs and schedules of the layer."""
    return dg.Definitions(
        assets=assets.build_assets(tables, settings),
        jobs=automation.build_jobs(),
        schedules=automation.build_schedules(),
    )
