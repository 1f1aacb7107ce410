"""Triggers of the alerts layer: due messages, changed alerts, failed runs, and the clock for rules."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from radar_assets.alerts import export
from radar_assets.alerts.checks import check_key
from radar_assets.alerts.escalation import escalate
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.run_events import announce_ended
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.watchers import watch_now
from radar_assets.calendar import DAYS_IN_UTC, Calendar
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.messaging import outbox
from radar_assets.metrics.registry import Metric
from radar_assets.orchestration.automation import CLOSED_AFTER, INCREMENTAL, TICK_S, Settled, ended_days
from radar_assets.orchestration.job_kinds import AGGREGATION, MONITORS, NOTIFICATIONS
from radar_assets.orchestration.run_requests import due_partitions, has_rested, requests, since_recovery
from radar_assets.store.database import Store
from radar_assets.windows import DAY, Grids, Window, hour_key, utc_now

ALERTS_JOB, DELIVER_JOB, MONITOR_JOB = "alerts_job", "deliver_alerts_job", "monitor_thresholds_job"
WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
REFRESH_EVERY = timedelta(minutes=15)
"""How often an hour of the table `alerts` is rebuilt while its alerts keep changing."""
FIRST_TICK, TICK = timedelta(minutes=1), timedelta(minutes=5)
"""When the schedule ticks: a minute after windows end. By then the collector has closed the segments of their last lines, and they are
loaded."""
AFTER_AN_HOUR = (1, 6)
"""Minutes of the hour at which hourly rules are judged in addition to the runs of their tables, because hours without events have
no run. The second one covers late segments and failed runs."""
AFTER_A_DAY = CLOSED_AFTER + timedelta(minutes=30)
"""How long after the end of a day daily rules are judged for its projects for the first time: half an hour after the day is closed."""
AGAIN_AT = 31
"""Minute of the hour at which daily rules are judged again, from the first closing of a day in UTC on, because alerts that fire in
quiet hours are announced when their rule is next judged."""


def build_jobs(grids: Grids, rules: Sequence[Rule]) -> list[Any]:
    """The jobs of the layer, of a type that Dagster doesn't export. Without rules there is no job that judges them."""
    alerts_job = dg.define_asset_job(
        ALERTS_JOB,
        selection=dg.AssetSelection.assets("alerts"),
        partitions_def=grids.hourly,
        tags=AGGREGATION.tags(),
        description="Rebuilds the table of alerts, for hours whose alerts have changed.",
    )
    # With the one check that a pass changes; the checks of rules on this asset have their own triggers.
    deliveries, arrived = (
        "alert_deliveries",
        dg.AssetCheckKey(dg.AssetKey("alert_deliveries"), "every_delivery_arrived"),
    )
    deliver_alerts_job = dg.define_asset_job(
        DELIVER_JOB,
        selection=dg.AssetSelection.assets(deliveries).without_checks() | dg.AssetSelection.checks(arrived),
        # First in the queue, because it is short and people wait for it.
        tags={"dagster/priority": "10", **NOTIFICATIONS.tags()},
        description="One pass over the outbox of alerts.",
    )
    jobs = [alerts_job, deliver_alerts_job]
    if rules:
        jobs.append(
            dg.define_asset_job(
                MONITOR_JOB,
                selection=dg.AssetSelection.checks(*map(check_key, rules)),
                tags=MONITORS.tags(),
                description="Judges rules over their latest windows, without building anything.",
            )
        )
    return jobs


def build_sensors(grids: Grids, settings: AlertSettings, metrics: Sequence[Metric] = ()) -> list[dg.SensorDefinition]:
    """The sensors, enabled by default. They read the store rather than tables."""

    @dg.sensor(
        job_name=DELIVER_JOB,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends due messages, also those of alerts that no one has acknowledged in time.",
    )
    def deliver_alerts(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> dg.SensorResult:
        now = utc_now()
        try:
            escalate(store, metrics, settings, now)
        except Exception:
            # Other messages are sent nevertheless; the next tick tries again.
            context.log.exception("Alerts could not be escalated")
        due = outbox.due_rows(store, now)
        if not due:
            return dg.SensorResult(skip_reason="Nothing is due.")
        # A run that has not started yet will send everything. A started one may hang on a channel and sends only what it has claimed.
        filters = dg.RunsFilter(job_name=DELIVER_JOB, statuses=WAITING)
        if context.instance.get_run_ids(filters, limit=1):
            return dg.SensorResult(skip_reason="A run that has not started yet will send it.")
        # The same rows at most once in two minutes: a run has just started and not claimed them yet, or it died.
        rows = hashlib.sha256(json.dumps(due).encode()).hexdigest()[:16]
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"deliver:{rows}:{now:%Y%m%d%H}{now.minute // 2}")])

    @dg.sensor(
        job_name=ALERTS_JOB,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rebuilds the hours of the table of alerts whose alerts have changed.",
    )
    def stale_alerts_sensor(
        context: dg.SensorEvaluationContext,
        lakehouse: dg.ResourceParam[Lakehouse],
        store: dg.ResourceParam[Store],
    ) -> dg.SensorResult:
        settled, alerts = Settled(context.cursor), lakehouse.snapshot("alerts")
        key = since_recovery("alerts", alerts)
        newer_than = settled.before(key, export.last_version(store))
        behind, version = export.stale_hours(store, alerts, newer_than=newer_than)
        settled.advance(key, version, behind)
        due = due_partitions(behind, "hour", grids, lakehouse.calendar())
        rested = {
            hour: at
            for hour, at in due.items()
            if has_rested(context.instance, "alerts", hour_key(hour), REFRESH_EVERY)
        }
        run_requests = requests(context.instance, rested, "hour", ("alerts",), prefix=key, tags=INCREMENTAL)
        return dg.SensorResult(run_requests=run_requests, cursor=settled.cursor())

    @dg.run_failure_sensor(
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records runs that failed for good, by the rules that watch for them.",
    )
    def failed_runs_sensor(
        context: dg.RunFailureSensorContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> None:
        watch_now(store, context.instance, lakehouse, settings, "failed_runs")

    @dg.sensor(
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Announces runs that have ended to the webhooks that subscribe to them.",
    )
    def run_events_sensor(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> dg.SensorResult:
        cursor, count = announce_ended(
            store, context.instance, settings.ui_url, context.cursor, utc_now(), sender=DELIVER_JOB
        )
        return dg.SensorResult(skip_reason=f"{count} messages are new.", cursor=cursor)

    return [deliver_alerts, stale_alerts_sensor, failed_runs_sensor, run_events_sensor]


def build_schedules(
    rules: Sequence[Rule], calendar: Callable[[], Calendar] = lambda: DAYS_IN_UTC
) -> list[dg.ScheduleDefinition]:
    """The schedule that judges rules, enabled by default. Without rules there is no schedule.

    Args:
        calendar: reads the days of the projects.
    """
    if not rules:
        return []

    @dg.schedule(
        job_name=MONITOR_JOB,
        cron_schedule=f"{FIRST_TICK // timedelta(minutes=1)}-59/{TICK // timedelta(minutes=1)} * * * *",
        description="Judges rules whose windows have just ended: every five minutes, one minute later.",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def monitor_thresholds_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time.astimezone(UTC).replace(tzinfo=None)
        due = due_rules(rules, at, calendar())
        if not due:
            return dg.SkipReason("No rule has a window that has just ended.")
        return dg.RunRequest(
            run_key=f"thresholds:{at:%Y-%m-%d-%H:%M}", asset_check_keys=[check_key(rule) for rule in due]
        )

    return [monitor_thresholds_schedule]


def next_evaluations(rules: Sequence[Rule], now: datetime, calendar: Calendar = DAYS_IN_UTC) -> dict[str, datetime]:
    """When the schedule evaluates each rule next, by name. New events may have it evaluated earlier.

    Args:
        now: naive, UTC, like the results.
    """
    found: dict[str, datetime] = {}
    at = Window.of_hour(now).start + FIRST_TICK
    for tick in range(2 * DAY // TICK):
        if (moment := at + tick * TICK) > now:
            for rule in due_rules(rules, moment, calendar):
                found.setdefault(rule.name, moment)
    return found


def due_rules(rules: Sequence[Rule], at: datetime, calendar: Calendar = DAYS_IN_UTC) -> list[Rule]:
    """The rules to judge at a tick: five-minute and platform rules at every tick, hourly and daily rules after their windows end.

    Args:
        at: the time of the tick, naive, UTC.
    """
    is_after_a_day = any(rule.window == "1d" for rule in rules) and (
        (at.minute == AGAIN_AT and at - Window.of_day(at.date()).start >= AFTER_A_DAY)
        or bool(ended_days(calendar, Window(at - AFTER_A_DAY - TICK, at - AFTER_A_DAY)))
    )
    return [
        rule
        for rule in rules
        if rule.watch
        or rule.window == "5m"
        or (rule.window == "1h" and at.minute in AFTER_AN_HOUR)
        or (rule.window == "1d" and is_after_a_day)
    ]
