"""The contents page: the layers in the order of the flow, and what triggers them."""

import warnings
from functools import cache
from typing import Any

import dagster as dg

from radar_assets import jobs, schedules, sensors
from radar_assets.config import load_config
from radar_assets.events import assets as event_assets
from radar_assets.events import checks as event_checks
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.metrics import assets as metric_assets
from radar_assets.metrics import checks as metric_checks
from radar_assets.metrics.registry import registry
from radar_assets.partitions import Grids
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store


def build_defs(settings: Settings, **overrides: Any) -> dg.Definitions:
    """The definitions of the platform.

    Args:
        overrides: parts of `dagster.Definitions` to use instead of the ones here.
    """
    grids = Grids(settings.start_date)
    metrics = registry(load_config(settings.config_file, required=settings.config is not None).metrics)
    all_jobs = jobs.build_jobs(grids)
    lakehouse, store = Lakehouse(settings), cache(lambda: open_store(settings.database))
    parts: dict[str, Any] = {
        "assets": [*event_assets.build_assets(grids), *metric_assets.build_assets(grids, metrics)],
        "asset_checks": [*event_checks.build_checks(), *metric_checks.build_checks()],
        "jobs": list(all_jobs.values()),
        "sensors": sensors.build_sensors(grids, all_jobs),
        "schedules": schedules.build_schedules(all_jobs),
        "resources": {
            # One of each in a process: a tick of a sensor would otherwise open connections, and read tables, that the last one had.
            "lakehouse": dg.ResourceDefinition(lambda _: lakehouse),
            "store": dg.ResourceDefinition(lambda _: store()),
        },
        "executor": dg.in_process_executor,
    }
    return dg.Definitions(**{**parts, **overrides})


@dg.definitions
def defs() -> dg.Definitions:
    """The platform as the environment sets it."""
    with warnings.catch_warnings():
        # Backfill policies have been in beta for years; one warning for each asset and process hides what matters.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return build_defs(load_settings().prepare())
