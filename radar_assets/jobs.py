"""The jobs: which assets are rebuilt together, by whatever triggers them."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from radar_assets.partitions import Grids

Jobs = Mapping[str, Any]
"""Jobs by name; Dagster's name for the type of an asset job is not public."""
HOURLY_ASSETS = ("raw_events", "rejected_events", "events", "hourly_metrics")
DAILY_ASSETS = ("sessions", "daily_metrics", "daily_breakdowns")


def build_jobs(grids: Grids) -> Jobs:
    """The jobs by name."""
    hourly_job = dg.define_asset_job(
        "hourly_job",
        selection=dg.AssetSelection.assets(*HOURLY_ASSETS),
        partitions_def=grids.hourly,
        description="From the landing zone to hourly metrics, for received hours and the events of the same hours.",
    )
    daily_job = dg.define_asset_job(
        "daily_job",
        selection=dg.AssetSelection.assets(*DAILY_ASSETS),
        partitions_def=grids.daily,
        description="Sessions, daily metrics and breakdowns.",
    )
    return {job.name: job for job in (hourly_job, daily_job)}
