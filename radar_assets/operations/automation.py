"""The job and the schedule of operations."""

from typing import Any

import dagster as dg

from radar_assets.operations.assets import GROUP

MAINTENANCE_JOB = "maintenance_job"


def build_jobs() -> list[Any]:
    """The jobs of the layer, of a type that Dagster doesn't export."""
    maintenance_job = dg.define_asset_job(
        MAINTENANCE_JOB,
        selection=dg.AssetSelection.groups(GROUP),
        # Last in the queue, because nobody waits for it.
        tags={"dagster/priority": "-10"},
        description="Merges small files, and deletes what nothing refers to any more.",
    )
    return [maintenance_job]


def build_schedules() -> list[dg.ScheduleDefinition]:
    """The schedules, enabled by default."""
    maintenance_schedule = dg.ScheduleDefinition(
        name="maintenance_schedule",
        job_name=MAINTENANCE_JOB,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Starts the maintenance every night, when the day before is closed.",
    )
    return [maintenance_schedule]
