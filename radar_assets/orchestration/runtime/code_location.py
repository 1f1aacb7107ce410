"""Whether the daemon can load and reach the definitions, as the ticks of the sensors tell it."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from radar_assets.lakehouse.files import EPOCH

if TYPE_CHECKING:
    from dagster import DagsterInstance

DAEMON_GONE_AFTER = timedelta(minutes=5)
SILENT_AFTER = timedelta(minutes=3)
"""Sensors tick every 30 s. A code server that is restarted, or very busy, is silent for less than this."""


def problem(instance: "DagsterInstance", now: datetime) -> str | None:
    """What is wrong if no sensor has ticked successfully for some time in which the daemon was running.

    The daemon itself sends heartbeats in that case, and reports nothing.

    Args:
        now: naive, UTC.

    Returns:
        None if sensors tick, if none is enabled or has ever ticked, or if the daemon is not running.
    """
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import TickStatus

    from radar_assets.orchestration.runtime.instance import DAEMON_STARTED

    beats = [_moment(beat.timestamp) for beat in instance.get_daemon_heartbeats().values()]
    if not beats or now - max(beats) > DAEMON_GONE_AFTER:
        return None
    sensors = [
        (state.instigator_origin_id, state.selector_id)
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if state.is_running
    ]
    fine = {TickStatus.SUCCESS, TickStatus.SKIPPED}
    ticks = [tick for ids in sensors for tick in instance.get_ticks(*ids, limit=1, statuses=list(fine))]
    last = _moment(max((tick.timestamp for tick in ticks), default=0))
    started = instance.run_storage.get_cursor_values({DAEMON_STARTED}).get(DAEMON_STARTED, "0")
    # By the last heartbeat rather than the clock, because a daemon that has just been stopped no longer ticks.
    if not ticks or max(beats) - max(last, _moment(float(started))) <= SILENT_AFTER:
        return None
    latest = [tick for ids in sensors for tick in instance.get_ticks(*ids, limit=1)]
    errors = [tick.error.message for tick in sorted(latest, key=lambda tick: -tick.timestamp) if tick.error]
    text = f"no sensor has ticked since {last:%Y-%m-%d %H:%M} UTC: the code location can't be loaded or reached"
    return f"{text} ({' '.join(errors[0].split())})" if errors else text


def _moment(timestamp: float) -> datetime:
    return EPOCH + timedelta(seconds=timestamp)
