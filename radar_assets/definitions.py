"""The contents page: merges the definitions of all layers, in the order of the flow, with the automation of their tables."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

import dagster as dg

from radar_assets import tracing
from radar_assets.alerts import definitions as alerts
from radar_assets.alerts.checks import check_key, runs_with_asset
from radar_assets.alerts.rules import stored_rules
from radar_assets.config import load_declarations, load_metrics, load_watched_urls
from radar_assets.events import automation as landing
from radar_assets.events import definitions as events
from radar_assets.metrics import definitions as metrics
from radar_assets.metrics.assets import definitions_of
from radar_assets.metrics.registry import registry
from radar_assets.operations import definitions as operations
from radar_assets.orchestration import automation
from radar_assets.orchestration.grids import load_grids
from radar_assets.orchestration.retries import build_retry_sensor
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.tables import TABLES, open_lakehouse


@contextmanager
def _without_beta_warnings() -> Iterator[None]:
    """Suppress beta warnings: backfill policies have been in beta for years, and each process would print one per asset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def _executor() -> dg.ExecutorDefinition:
    """Of runs that have a process of their own: with spans if tracing is on."""
    if not tracing.is_on():
        return dg.in_process_executor
    from radar_assets.orchestration.runtime.traced_executor import traced_executor

    return traced_executor


@_without_beta_warnings()
def build_defs(settings: Settings, hours: Sequence[datetime] | None = None) -> dg.Definitions:
    """Build the definitions of all layers.

    Args:
        hours: the only partitions of hourly tables, in order, for a run over these hours in this process. Default: all hours.
    """
    grids = load_grids(settings, hours)
    is_required = settings.config is not None
    registered = registry(load_metrics(settings.config_file, required=is_required))
    declared = load_declarations(settings.config_file, required=is_required)
    rules = stored_rules(settings.database)
    lakehouse, store = open_lakehouse(settings), cache(lambda: open_store(settings.database))
    layers = dg.Definitions.merge(
        events.build_definitions(grids, lakehouse, declared),
        metrics.build_definitions(grids, registered, lakehouse),
        alerts.build_definitions(grids, registered, rules, settings, lakehouse),
        operations.build_definitions(
            TABLES.values(), settings, load_watched_urls(settings.config_file, required=is_required)
        ),
    )
    separate = {check_key(rule) for rule in rules if not runs_with_asset(rule)}
    checks: list[Any] = list(layers.asset_checks or ())
    with_assets = sorted(key for check in checks for key in check.check_keys if key not in separate)
    jobs = automation.build_jobs(TABLES, grids, sorted(separate))
    triggers = dg.Definitions(
        jobs=jobs,
        sensors=[
            build_retry_sensor([*jobs, *(layers.jobs or ())]),
            *landing.build_sensors(grids, with_assets),
            *automation.build_sensors(TABLES, grids, with_assets, definitions_of(registered)),
        ],
        schedules=automation.build_schedules(TABLES, grids, with_assets),
    )
    platform = dg.Definitions(
        resources={
            # Shared by the whole process. Otherwise each sensor tick would open connections and read tables again.
            "lakehouse": dg.ResourceDefinition(lambda _: lakehouse),
            "store": dg.ResourceDefinition(lambda _: store()),
        },
        executor=_executor(),
    )
    return dg.Definitions.merge(layers, triggers, platform)


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions that Dagster loads, with settings from the environment."""
    return build_defs(load_settings().prepare())
