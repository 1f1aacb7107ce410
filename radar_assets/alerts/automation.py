"""Triggers of the alerts layer: due messages, changed alerts, failed runs, and the clock for rules."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from radar_assets.alerts import relations
from radar_assets.alerts.checks import check_key
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.watchers import watch_now
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.messaging import outbox
from radar_assets.orchestration.automation import INCREMENTAL, TICK_S, Settled
from radar_assets.orchestration.run_requests import due_partitions, has_rested, requests, since_recovery
from radar_assets.store.database import Store
from radar_assets.windows import Grids, hour_key, utc_now

ALERTS_JOB, DELIVER_JOB, MONITOR_JOB = "alerts_job", "deliver_alerts_job", "monitor_thresholds_job"
WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
REFRESH_EVERY = timedelta(minutes=15)
"""How often an hour of the table of alerts that keeps changing is rebuilt."""
AFTER_AN_HOUR = (1, 6)
"""Minutes of the hour at which hourly rules are judged, besides the runs of their tables: without events no run judges them. The
second time is for segments that land late and runs that fail."""
AFTER_A_DAY = (1, 31)
"""Hour and minute of the day at which daily rules are judged for the first time, half an hour after the day is closed. They are
judged again every hour, because alerts that fire in quiet hours are announced when their rule is next judged."""


def build_jobs(grids: Grids, rules: Sequence[Rule]) -> list[Any]:
    """The jobs of the layer, of a type that Dagster does not publish. The one that judges rules needs rules to judge."""
    alerts_job = dg.define_asset_job(
        ALERTS_JOB,
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
        DELIVER_JOB,
        selection=dg.AssetSelection.assets(deliveries).without_checks() | dg.AssetSelection.checks(arrived),
        # Before everything else in the queue: it is short, and people wait for it.
        tags={"dagster/priority": "10"},
        description="One pass over the outbox of alerts.",
    )
    jobs = [alerts_job, deliver_alerts_job]
    if rules:
        jobs.append(
            dg.define_asset_job(
                MONITOR_JOB,
                selection=dg.AssetSelection.checks(*map(check_key, rules)),
                description="Judges rules over their latest windows, without building anything.",
            )
        )
    return jobs


def build_sensors(grids: Grids) -> list[dg.SensorDefinition]:
    """The sensors, switched on. They look at the store rather than at tables."""

    @dg.sensor(
        job_name=DELIVER_JOB,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends what is due in the outbox.",
    )
    def deliver_alerts(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> dg.SensorResult:
        now = utc_now()
        due = outbox.due_rows(store, now)
        if not due:
            return dg.SensorResult(skip_reason="Nothing is due.")
        # A run that has not started yet will send everything. A started one may hang on a channel and sends only what it has claimed.
        filters = dg.RunsFilter(job_name=DELIVER_JOB, statuses=WAITING)
        if context.instance.get_run_ids(filters, limit=1):
            return dg.SensorResult(skip_reason="A run that has not started yet will send it.")
        # The same rows once in two minutes: a run has just started and not got to them, or it died.
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
        newer_than = settled.before(key, relations.last_version(store))
        behind, version = relations.stale_hours(store, alerts, newer_than=newer_than)
        settled.advance(key, version, behind)
        due = due_partitions(context.instance, behind, "alerts", "hour", grids.start)
        rested = {
            hour: at
            for hour, at in due.items()
            if has_rested(context.instance, "alerts", hour_key(hour), REFRESH_EVERY)
        }
        # Ask for the same hours again after an hour: their run may have failed.
        found = requests(rested, "hour", ("alerts",), prefix=f"{key}:{utc_now():%Y%m%d%H}", tags=INCREMENTAL)
        return dg.SensorResult(run_requests=found, cursor=settled.cursor())

    @dg.run_failure_sensor(
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records runs that failed for good, by the rules that watch for them.",
    )
    def failed_runs_sensor(
        context: dg.RunFailureSensorContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> None:
        watch_now(store, context.instance, lakehouse, "failed_runs")

    return [deliver_alerts, stale_alerts_sensor, failed_runs_sensor]


def build_schedules(rules: Sequence[Rule]) -> list[dg.ScheduleDefinition]:
    """The schedule that judges rules, switched on, if there are any."""
    if not rules:
        return []

    @dg.schedule(
        job_name=MONITOR_JOB,
        # A minute after windows end: by then the collector has closed the segments of their last lines, and they are loaded.
        cron_schedule="1-59/5 * * * *",
        description="Judges rules whose windows have just ended, a minute after every five.",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def monitor_thresholds_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time.astimezone(UTC)
        due = due_rules(rules, at)
        if not due:
            return dg.SkipReason("No rule has a window that has just ended.")
        return dg.RunRequest(
            run_key=f"thresholds:{at:%Y-%m-%d-%H:%M}", asset_check_keys=[check_key(rule) for rule in due]
        )

    return [monitor_thresholds_schedule]


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
