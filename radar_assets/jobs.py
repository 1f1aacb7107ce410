"""The jobs: which assets are rebuilt together, by whatever triggers them."""

import dagster as dg

from radar_assets.partitions import Grids

HOURLY_ASSETS = ("raw_events", "rejected_events", "events", "hourly_metrics")
DAILY_ASSETS = ("sessions", "daily_metrics", "daily_breakdowns")


def build_jobs(grids: Grids) -> dict[str, dg.UnresolvedAssetJobDefinition]:
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
