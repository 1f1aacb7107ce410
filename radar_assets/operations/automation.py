"""The jobs and the schedules of operations."""

from typing import Any

import dagster as dg

from radar_assets.operations.assets import GROUP
from radar_assets.orchestration.job_kinds import MAINTENANCE, MONITORS

MAINTENANCE_JOB, HEALTH_JOB = "maintenance_job", "health_job"


def build_jobs() -> list[Any]:
    """The jobs of the layer, of a type that Dagster doesn't export."""
    maintenance_job = dg.define_asset_job(
        MAINTENANCE_JOB,
        selection=dg.AssetSelection.groups(GROUP),
        # Last in the queue, because nobody waits for it.
        tags={"dagster/priority": "-10", **MAINTENANCE.tags()},
        description="Merges small files, and deletes what nothing refers to any more.",
    )
    health_job = dg.define_asset_job(
        HEALTH_JOB,
        selection=dg.AssetSelection.assets("health"),
        # First in the queue, because it is short and says what is wrong with the others.
        tags={"dagster/priority": "10", **MONITORS.tags()},
        description="Checks each part that Radar needs.",
    )
    return [maintenance_job, health_job]


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
    health_schedule = dg.ScheduleDefinition(
        name="health_schedule",
        job_name=HEALTH_JOB,
        # A minute before rules are judged over the five minutes that end then.
        cron_schedule="4-59/5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Checks the health of the platform every five minutes.",
    )
    return [maintenance_schedule, health_schedule]
