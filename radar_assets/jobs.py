"""The jobs: which assets are rebuilt together, by whatever triggers them."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from radar_assets.alerts.checks import check_key, runs_with_asset
from radar_assets.alerts.rules import Rule
from radar_assets.partitions import Grids

Jobs = Mapping[str, Any]
"""Jobs by name; Dagster's name for the type of an asset job is not public."""
HOURLY_ASSETS = ("raw_events", "rejected_events", "events", "hourly_metrics")
DAILY_ASSETS = ("sessions", "daily_metrics", "daily_breakdowns")
ASSETS = (*HOURLY_ASSETS, *DAILY_ASSETS, "alerts", "alert_deliveries")
"""All assets, in the order of the flow. Each but the last is a table."""
MONITOR_JOB = "monitor_thresholds_job"


def build_jobs(grids: Grids, rules: Sequence[Rule] = ()) -> Jobs:
    """The jobs by name; without rules there is none that judges them."""
    clocked = dg.AssetSelection.checks(*(check_key(rule) for rule in rules if not runs_with_asset(rule)))
    hourly_job = dg.define_asset_job(
        "hourly_job",
        selection=dg.AssetSelection.assets(*HOURLY_ASSETS) - clocked,
        partitions_def=grids.hourly,
        description="From the landing zone to hourly metrics, for received hours and the events of the same hours.",
    )
    daily_job = dg.define_asset_job(
        "daily_job",
        selection=dg.AssetSelection.assets(*DAILY_ASSETS),
        partitions_def=grids.daily,
        description="Sessions, daily metrics and breakdowns.",
    )
    alerts_job = dg.define_asset_job(
        "alerts_job",
        selection=dg.AssetSelection.assets("alerts"),
        partitions_def=grids.hourly,
        description="The table of what fired, for hours whose alerts have changed.",
    )
    # With the one check that a pass changes; those of rules that are shown at this asset have times of their own.
    deliveries, arrived = (
        "alert_deliveries",
        dg.AssetCheckKey(dg.AssetKey("alert_deliveries"), "every_delivery_arrived"),
    )
    deliver_alerts_job = dg.define_asset_job(
        "deliver_alerts_job",
        selection=dg.AssetSelection.assets(deliveries).without_checks() | dg.AssetSelection.checks(arrived),
        # Before whatever else is queued: it is short, and somebody waits for it.
        tags={"dagster/priority": "10"},
        description="One pass over the outbox of alerts.",
    )
    jobs = [hourly_job, daily_job, alerts_job, deliver_alerts_job]
    if rules:
        jobs.append(
            dg.define_asset_job(
                MONITOR_JOB,
                selection=dg.AssetSelection.checks(*map(check_key, rules)),
                description="Judges rules over their latest windows, without building anything.",
            )
        )
    return {job.name: job for job in jobs}
