"""The contents page: the layers in the order of the flow, and what triggers them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import dagster as dg

from radar_assets import jobs, schedules, sensors
from radar_assets.alerts import assets as alert_assets
from radar_assets.alerts import checks as alert_checks
from radar_assets.alerts.rules import stored_rules
from radar_assets.config import load_metrics
from radar_assets.events import assets as event_assets
from radar_assets.events import checks as event_checks
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.metrics import assets as metric_assets
from radar_assets.metrics import checks as metric_checks
from radar_assets.metrics.registry import registry
from radar_assets.partitions import Grids
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store


@contextmanager
def _without_beta_warnings() -> Iterator[None]:
    """Backfill policies have been in beta for years; one warning for each asset and process hides what matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


@_without_beta_warnings()
def build_defs(settings: Settings, **overrides: Any) -> dg.Definitions:
    """The definitions of the platform.

    Args:
        overrides: parts of `dagster.Definitions` to use instead of the ones here.
    """
    grids = Grids(settings.start_date)
    metrics = registry(load_metrics(settings.config_file, required=settings.config is not None))
    rules = stored_rules(settings.database)
    checks = [
        *event_checks.build_checks(),
        *metric_checks.build_checks(),
        *alert_assets.build_checks(),
        *alert_checks.build_checks(rules, metrics),
    ]
    clocked = {alert_checks.check_key(rule) for rule in rules if not alert_checks.runs_with_asset(rule)}
    with_assets = sorted(key for check in checks for key in check.check_keys if key not in clocked)
    all_jobs = jobs.build_jobs(grids, rules)
    lakehouse, store = Lakehouse(settings), cache(lambda: open_store(settings.database))
    parts: dict[str, Any] = {
        "assets": [
            *event_assets.build_assets(grids),
            *metric_assets.build_assets(grids, metrics),
            *alert_assets.build_assets(grids, metrics),
        ],
        "asset_checks": checks,
        "jobs": list(all_jobs.values()),
        "sensors": sensors.build_sensors(grids, all_jobs, with_assets, metrics),
        "schedules": schedules.build_schedules(all_jobs, with_assets, rules),
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
    return build_defs(load_settings().prepare())
