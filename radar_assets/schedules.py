"""The schedules: what the clock alone triggers."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from radar_assets.alerts.checks import check_key
from radar_assets.alerts.rules import Rule
from radar_assets.automation import request
from radar_assets.jobs import DAILY_ASSETS, MONITOR_JOB, Jobs
from radar_assets.partitions import DAY, Window, day_key

AFTER_AN_HOUR = (1, 6)
"""Minutes of the hour at which rules of hours are judged: twice, since a segment may land late or a run fail, and where nothing
lands there is no run of the tables that would judge them."""
AFTER_A_DAY = (1, 31)
"""Hour and minute of the day at which rules of days are judged, half an hour after the day is closed, and then every hour: what
fires in quiet hours is announced when the rule is judged after them, and where nothing lands there is no run that would judge it."""


def build_schedules(
    jobs: Jobs, checks: Sequence[dg.AssetCheckKey], rules: Sequence[Rule] = ()
) -> list[dg.ScheduleDefinition]:
    """The schedules, switched on.

    Args:
        checks: those that run with their assets.
        rules: those to judge by the clock.
    """
    common = {"execution_timezone": "UTC", "default_status": dg.DefaultScheduleStatus.RUNNING}

    @dg.schedule(
        job=jobs["daily_job"],
        cron_schedule="0 1 * * *",
        description="Closes yesterday, an hour after it ended, so that a day without any event has its partition too.",
        **common,
    )
    def daily_close_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        yesterday = (context.scheduled_execution_time.astimezone(UTC) - DAY).date()
        key = f"close:{day_key(yesterday)}"
        return request(Window.of_day(yesterday), "day", DAILY_ASSETS, run_key=key, checks=checks)

    if MONITOR_JOB not in jobs:
        return [daily_close_schedule]

    @dg.schedule(
        job=jobs[MONITOR_JOB],
        # A minute after windows end: by then the collector has closed the segments of their last lines, and they are loaded.
        cron_schedule="1-59/5 * * * *",
        description="Judges rules whose windows have just ended, a minute after every five.",
        **common,
    )
    def monitor_thresholds_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time.astimezone(UTC)
        due = due_rules(rules, at)
        if not due:
            return dg.SkipReason("No rule has a window that has just ended.")
        return dg.RunRequest(
            run_key=f"thresholds:{at:%Y-%m-%d-%H:%M}", asset_check_keys=[check_key(rule) for rule in due]
        )

    return [daily_close_schedule, monitor_thresholds_schedule]


def due_rules(rules: Sequence[Rule], at: datetime) -> list[Rule]:
    """The rules to judge at a tick: those of five minutes and what is watched at each, those of hours and days after these end."""
    return [
        rule
        for rule in rules
        if rule.watch
        or rule.window == "5m"
        or (rule.window == "1h" and at.minute in AFTER_AN_HOUR)
        or (rule.window == "1d" and at.hour >= AFTER_A_DAY[0] and at.minute == AFTER_A_DAY[1])
    ]
