"""The sensors: new segments are loaded, stale hours and days are rebuilt, alerts are delivered.

Each compares what is with what should be, and asks for the difference. A cursor only says up to where nothing was missing, so that a
tick costs what has changed; without it a sensor looks at everything and comes to the same result.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import timedelta

import dagster as dg

from radar_assets.alerts import outbox, relations
from radar_assets.alerts.watchers import watch_now
from radar_assets.automation import (
    due_partitions,
    last_materialized,
    partitions_in_progress,
    request,
    requests,
    stretches,
)
from radar_assets.events.landing import LATEST_SURPRISE_NS, list_hours
from radar_assets.events.loading import missing_segments
from radar_assets.jobs import DAILY_ASSETS, HOURLY_ASSETS, Jobs
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.materialization import INCREMENTAL_TAG
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import outdated, stale
from radar_assets.metrics.registry import Metric
from radar_assets.partitions import Grids, day_key, hour_key, utc_now
from radar_assets.store.database import Store

TICK_S = 30
REFRESH_EVERY = timedelta(minutes=15)
"""How often a day that keeps changing is rebuilt: a day costs far more than an hour, and its readers wait longer."""
INCREMENTAL = {INCREMENTAL_TAG: "true"}
WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]


def build_sensors(
    grids: Grids, jobs: Jobs, checks: Sequence[dg.AssetCheckKey], metrics: Sequence[Metric]
) -> list[dg.SensorDefinition]:
    """The sensors, switched on.

    Args:
        checks: those that run with their assets.
        metrics: the registry.
    """
    common = {"minimum_interval_seconds": TICK_S, "default_status": dg.DefaultSensorStatus.RUNNING}

    @dg.sensor(job=jobs["hourly_job"], description="Loads new segments and rebuilds the same hours.", **common)
    def landing_sensor(context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]) -> dg.SensorResult:
        settled, now = int(context.cursor or 0), utc_now()
        changed = {hour: at for hour, at in list_hours(lakehouse.settings.landing_zone).items() if at >= settled}
        hours = sorted(hour for hour in changed if grids.start <= hour <= now)
        missing = missing_segments(lakehouse, lakehouse.snapshot("raw_events"), hours)
        # What came before all that waits is settled: an hour looked at too often costs little, one passed over costs events.
        # Hours before the start are never due; who moves the start resets the cursor.
        waiting = {hour for hour in changed if hour > now} | {segment.received_hour for segment in missing}
        clear = min((changed[hour] for hour in waiting), default=max(changed.values(), default=settled))
        cursor = str(max(settled, clear - LATEST_SURPRISE_NS))
        if not missing:
            off_grid = len(changed) - len(hours)
            reason = f" {off_grid} hours lie before RADAR_START_DATE or in the future." if off_grid else ""
            return dg.SensorResult(skip_reason=f"Every segment is loaded.{reason}", cursor=cursor)
        busy = partitions_in_progress(context.instance, "raw_events")
        due = {segment.received_hour for segment in missing if hour_key(segment.received_hour) not in busy}
        found = []
        for window in stretches(due, "hour"):
            names = sorted(
                f"{hour_key(segment.received_hour)} {segment.name}"
                for segment in missing
                if window.start <= segment.received_hour < window.end
            )
            digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
            key = f"landing:{hour_key(window.start)}:{digest}"
            found.append(request(window, "hour", HOURLY_ASSETS, run_key=key, tags=INCREMENTAL, checks=checks))
        return dg.SensorResult(run_requests=found, cursor=cursor)

    @dg.sensor(
        job=jobs["hourly_job"], description="Rebuilds hours that lines received at other times touched.", **common
    )
    def stale_hours_sensor(
        context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> dg.SensorResult:
        settled = _Settled(context.cursor)
        raw, events = lakehouse.snapshot("raw_events"), lakehouse.snapshot("events")
        hourly_metrics = lakehouse.snapshot("hourly_metrics")
        touched = stale(raw, events, by=1, newer_than=settled["events"])
        unread = stale(raw, lakehouse.snapshot("rejected_events"), newer_than=settled["rejected_events"])
        behind = stale(events, hourly_metrics, newer_than=settled["hourly_metrics"])
        settled.advance("events", raw.sequence_number, touched)
        settled.advance("rejected_events", raw.sequence_number, unread)
        settled.advance("hourly_metrics", events.sequence_number, behind)
        found = []
        for stale_hours, assets in (
            (touched, ("events", "hourly_metrics")),
            (unread, ("rejected_events",)),
            ({hour: at for hour, at in behind.items() if hour not in touched}, ("hourly_metrics",)),
        ):
            due = due_partitions(context.instance, stale_hours, assets[0], "hour", grids.start)
            found += requests(due, "hour", assets, prefix=assets[0], tags=INCREMENTAL, checks=checks)
        found += _corrections(context.instance, hourly_metrics, metrics, grids, {*touched, *behind}, checks)
        return dg.SensorResult(run_requests=found, cursor=settled.cursor())

    @dg.sensor(job=jobs["daily_job"], description="Rebuilds days whose hours have changed.", **common)
    def stale_days_sensor(
        context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> dg.SensorResult:
        settled = _Settled(context.cursor)
        events, sessions = lakehouse.snapshot("events"), lakehouse.snapshot("sessions")
        changed = stale(events, sessions, newer_than=settled["sessions"])
        settled.advance("sessions", events.sequence_number, changed)
        pending: dict[str, tuple[dict[int, int], tuple[str, ...]]] = {"sessions": (changed, DAILY_ASSETS)}
        for name in DAILY_ASSETS[1:]:
            behind = stale(sessions, lakehouse.snapshot(name), newer_than=settled[name])
            settled.advance(name, sessions.sequence_number, behind)
            pending[name] = ({day: at for day, at in behind.items() if day not in changed}, (name,))
        found = []
        for name, (stale_days, assets) in pending.items():
            due = due_partitions(context.instance, stale_days, name, "day", grids.start)
            rested = {day: at for day, at in due.items() if _has_rested(context.instance, name, day_key(day))}
            found += requests(rested, "day", assets, prefix=name, tags=INCREMENTAL, checks=checks)
        found += _corrections(
            context.instance,
            lakehouse.snapshot("daily_metrics"),
            metrics,
            grids,
            {*changed, *pending["daily_metrics"][0]},
            checks,
        )
        return dg.SensorResult(run_requests=found, cursor=settled.cursor())

    return [landing_sensor, stale_hours_sensor, stale_days_sensor, *_alert_sensors(grids, jobs)]


def _alert_sensors(grids: Grids, jobs: Jobs) -> list[dg.SensorDefinition]:
    """Those of the alerts, which look at the store rather than at tables."""

    @dg.sensor(
        job=jobs["deliver_alerts_job"],
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends what is due in the outbox.",
    )
    def deliver_alerts(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> dg.SensorResult:
        now = utc_now()
        due = outbox.due_rows(store, now)
        if not due:
            return dg.SensorResult(skip_reason="Nothing is due.")
        # One that waits will send it all. One under way is no reason to wait: it may hang on a channel, and holds what it sends.
        filters = dg.RunsFilter(job_name="deliver_alerts_job", statuses=WAITING)
        if context.instance.get_run_ids(filters, limit=1):
            return dg.SensorResult(skip_reason="A run that has not started yet will send it.")
        # The same rows once in two minutes: a run has just started and not got to them, or it died.
        rows = hashlib.sha256(json.dumps(due).encode()).hexdigest()[:16]
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"deliver:{rows}:{now:%Y%m%d%H}{now.minute // 2}")])

    @dg.sensor(
        job=jobs["alerts_job"],
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rebuilds the hours of the table of alerts whose alerts have changed.",
    )
    def stale_alerts_sensor(
        context: dg.SensorEvaluationContext,
        lakehouse: dg.ResourceParam[Lakehouse],
        store: dg.ResourceParam[Store],
    ) -> dg.SensorResult:
        settled = _Settled(context.cursor)
        behind, version = relations.stale_hours(store, lakehouse.snapshot("alerts"), newer_than=settled["alerts"])
        settled.advance("alerts", version, behind)
        due = due_partitions(context.instance, behind, "alerts", "hour", grids.start)
        rested = {hour: at for hour, at in due.items() if _has_rested(context.instance, "alerts", hour_key(hour))}
        # The same hours once in an hour: their run failed, and nothing else may change them.
        found = requests(rested, "hour", ("alerts",), prefix=f"alerts:{utc_now():%Y%m%d%H}", tags=INCREMENTAL)
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


def _corrections(
    instance: dg.DagsterInstance,
    table: Snapshot,
    metrics: Sequence[Metric],
    grids: Grids,
    stale_partitions: Collection[int],
    checks: Sequence[dg.AssetCheckKey],
) -> list[dg.RunRequest]:
    """Requests for partitions from which a metric was left out whose expression has changed since, once for each set of metrics.

    Args:
        stale_partitions: those that are rebuilt anyway.
    """
    definitions = {metric.definition for metric in metrics}
    digest = hashlib.sha256(" ".join(sorted(definitions)).encode()).hexdigest()[:16]
    name, unit = table.table.name, table.table.partition_by[0][1]
    lacking = dict.fromkeys(outdated(table, definitions).difference(stale_partitions), 0)
    due = due_partitions(instance, lacking, name, unit, grids.start)
    return requests(due, unit, (name,), prefix=f"{name}:{digest}", tags=INCREMENTAL, checks=checks)


class _Settled:
    """For each table, the state of its input up to which none of its partitions is stale."""

    def __init__(self, cursor: str | None) -> None:
        self._numbers: dict[str, int] = json.loads(cursor) if cursor else {}

    def __getitem__(self, table: str) -> int:
        return self._numbers.get(table, 0)

    def advance(self, table: str, sequence_number: int, stale_partitions: dict[int, int]) -> None:
        """Note that a table is up to date, unless partitions of it are stale."""
        if not stale_partitions:
            self._numbers[table] = sequence_number

    def cursor(self) -> str:
        """The state as a sensor's cursor."""
        return json.dumps(self._numbers, sort_keys=True)


def _has_rested(instance: dg.DagsterInstance, asset: str, partition: str) -> bool:
    built = last_materialized(instance, asset, partition)
    return built is None or utc_now() - built >= REFRESH_EVERY
