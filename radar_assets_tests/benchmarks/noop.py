"""Dagster's own floor for the tick benchmark: an asset that does nothing, and a sensor that requests it when a file is touched."""

import os
from pathlib import Path

import dagster as dg

TRIGGER = "RADAR_BENCHMARK_TRIGGER"
"""Variable with the path of the file that is touched."""


@dg.asset
def nothing() -> None:
    """Materializes immediately."""


@dg.sensor(target=nothing, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def noop_sensor() -> dg.RunRequest | dg.SkipReason:
    """Requests a run each time the file is touched."""
    trigger = Path(os.environ[TRIGGER])
    if not trigger.exists():
        return dg.SkipReason("The file was not touched.")
    return dg.RunRequest(run_key=str(trigger.stat().st_mtime_ns))


defs = dg.Definitions(assets=[nothing], sensors=[noop_sensor], executor=dg.in_process_executor)
