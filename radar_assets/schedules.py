"""The schedules: what the clock alone triggers."""

from datetime import UTC

import dagster as dg

from radar_assets.automation import request
from radar_assets.jobs import DAILY_ASSETS, Jobs
from radar_assets.partitions import DAY, Window, day_key


def build_schedules(jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """The schedules, switched on."""

    @dg.schedule(
        job=jobs["daily_job"],
        cron_schedule="0 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Closes yesterday, an hour after it ended, so that a day without any event has its partition too.",
    )
    def daily_close_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        yesterday = (context.scheduled_execution_time.astimezone(UTC) - DAY).date()
        return request(Window.of_day(yesterday), "day", DAILY_ASSETS, run_key=f"close:{day_key(yesterday)}")

    return [daily_close_schedule]
