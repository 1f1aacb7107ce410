"""The sensors: new segments are loaded, and stale hours and days are rebuilt.

Each compares what is with what should be, and asks for the difference. A cursor only says up to where nothing was missing, so that a
tick costs what has changed; without it a sensor looks at everything and comes to the same result.
"""

import hashlib
import json
from datetime import timedelta

import dagster as dg

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
from radar_assets.lakehouse.staleness import stale
from radar_assets.partitions import Grids, day_key, hour_key, utc_now

TICK_S = 30
REFRESH_EVERY = timedelta(minutes=15)
"""How often a day that keeps changing is rebuilt: a day costs far more than an hour, and its readers wait longer."""
INCREMENTAL = {INCREMENTAL_TAG: "true"}


def build_sensors(grids: Grids, jobs: Jobs) -> list[dg.SensorDefinition]:
    """The sensors, switched on."""
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
            found.append(request(window, "hour", HOURLY_ASSETS, run_key=key, tags=INCREMENTAL))
        return dg.SensorResult(run_requests=found, cursor=cursor)

    @dg.sensor(
        job=jobs["hourly_job"], description="Rebuilds hours that lines received at other times touched.", **common
    )
    def stale_hours_sensor(
        context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse]
    ) -> dg.SensorResult:
        settled = _Settled(context.cursor)
        raw, events = lakehouse.snapshot("raw_events"), lakehouse.snapshot("events")
        touched = stale(raw, events, by=1, newer_than=settled["events"])
        unread = stale(raw, lakehouse.snapshot("rejected_events"), newer_than=settled["rejected_events"])
        behind = stale(events, lakehouse.snapshot("hourly_metrics"), newer_than=settled["hourly_metrics"])
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
            found += requests(due, "hour", assets, prefix=assets[0], tags=INCREMENTAL)
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
            found += requests(rested, "day", assets, prefix=name, tags=INCREMENTAL)
        return dg.SensorResult(run_requests=found, cursor=settled.cursor())

    return [landing_sensor, stale_hours_sensor, stale_days_sensor]


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
