"""The sensor that loads new segments."""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from radar_assets.events.landing import LATEST_SURPRISE_NS, list_hours
from radar_assets.events.loading import missing_segments
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.orchestration.automation import HOURLY_JOB, INCREMENTAL
from radar_assets.orchestration.run_requests import requests, since_recovery
from radar_assets.store.database import Store
from radar_assets.store.first_day import begin_by
from radar_assets.windows import Grids, hour_key, utc_now

TICK_S = 40
"""Seconds between ticks. Each one that finds segments costs a run, and 95 % of events are to be in `events` within a minute. A segment
is closed after up to 10 s, the daemon ticks up to 5 s late, and a run takes less than 5 s."""


def build_sensors(grids: Grids, checks: Sequence[dg.AssetCheckKey]) -> list[dg.SensorDefinition]:
    """The sensor over the landing zone, running by default.

    Args:
        checks: the checks that run with their assets.
    """

    @dg.sensor(
        job_name=HOURLY_JOB,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Loads new segments and rebuilds the same hours.",
    )
    def landing_sensor(
        context: dg.SensorEvaluationContext, lakehouse: dg.ResourceParam[Lakehouse], store: dg.ResourceParam[Store]
    ) -> dg.SensorResult:
        raw_events, now = lakehouse.snapshot("raw_events"), utc_now()
        key = since_recovery("landing", raw_events)
        settled = settled_before(context.cursor, raw_events)
        changed = {hour: at for hour, at in list_hours(lakehouse.settings.landing_zone).items() if at >= settled}
        hours = sorted(hour for hour in changed if grids.start <= hour <= now)
        begin = lakehouse.settings.start_date
        early = {hour for hour in changed if datetime(begin.year, begin.month, begin.day) <= hour < grids.start}
        if early:
            begin_by(store, min(early).date())
        missing = missing_segments(lakehouse, raw_events, hours)
        # Changes older than everything that waits are done: looking at an hour again is cheap, skipping one loses events.
        # Hours before RADAR_START_DATE are never due; after moving it back, reset the cursor.
        waiting = {hour for hour in changed if hour > now} | early | {segment.received_hour for segment in missing}
        clear = min((changed[hour] for hour in waiting), default=max(changed.values(), default=settled))
        cursor = f"{max(settled, clear - LATEST_SURPRISE_NS)} {key}"
        if not missing:
            off_grid = len(changed) - len(hours) - len(early)
            reason = "All segments are loaded."
            reason += f" {off_grid} hours are before RADAR_START_DATE or in the future." if off_grid else ""
            if early:
                reason = (
                    f"{len(early)} hours are before the first partition; they are loaded once definitions are reloaded."
                )
            return dg.SensorResult(skip_reason=reason, cursor=cursor)
        names: dict[datetime, list[str]] = {}
        for segment in missing:
            names.setdefault(segment.received_hour, []).append(f"{hour_key(segment.received_hour)} {segment.name}")
        assets = [table.name for table in (RAW_EVENTS, *lakehouse.tables.downstream(RAW_EVENTS))]
        found = requests(
            context.instance, names, "hour", assets, prefix=key, version=_digest, tags=INCREMENTAL, checks=checks
        )
        return dg.SensorResult(run_requests=found, cursor=cursor)

    return [landing_sensor]


def settled_before(cursor: str | None, raw_events: Snapshot) -> int:
    """All segments of hours that last changed before this moment, in ns since 1970, are loaded, by the cursor of `landing_sensor`."""
    number, _, made_for = (cursor or "").partition(" ")
    return int(number or 0) if (made_for or "landing") == since_recovery("landing", raw_events) else 0


def _digest(names: list[list[str]]) -> str:
    return hashlib.sha256("\n".join(sorted(itertools.chain(*names))).encode()).hexdigest()[:16]
