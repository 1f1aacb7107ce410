"""The definitions of the alerts layer."""

from collections.abc import Sequence

import dagster as dg

from radar_assets.alerts import assets, automation, checks
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.settings import AlertSettings
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.metrics.registry import Metric
from radar_assets.windows import Grids


def build_definitions(
    grids: Grids, metrics: Sequence[Metric], rules: Sequence[Rule], settings: AlertSettings, lakehouse: Lakehouse
) -> dg.Definitions:
    """Assets, checks, jobs and triggers of the layer, with the rules that were applied."""
    return dg.Definitions(
        assets=assets.build_assets(grids, metrics, settings, lakehouse),
        asset_checks=[*assets.build_checks(), *checks.build_checks(rules, metrics, settings)],
        jobs=automation.build_jobs(grids, rules),
        sensors=automation.build_sensors(grids, settings, metrics),
        schedules=automation.build_schedules(rules, lakehouse.calendar),
    )
