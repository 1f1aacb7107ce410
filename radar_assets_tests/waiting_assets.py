"""Definitions of assets that wait until they are released, for tests of runs in progress."""

import os
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg

from radar_assets.orchestration.job_kinds import AI, KINDS, JobKind
from radar_assets.orchestration.retries import build_retry_sensor

FOLDER = "RADAR_TESTS_FOLDER"
"""Variable with a folder: each file `ask-*` in it requests a run, of a pool if its name has `pool`, and a file `go` releases all."""
KINDS["test"] = JobKind("test", None, 1, timedelta(seconds=1))


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _wait() -> None:
    while not (_folder() / "go").exists():
        time.sleep(0.1)


@dg.asset
def waiting() -> None:
    _wait()


@dg.asset(pool=AI.pool)
def pooled() -> None:
    _wait()


job = dg.define_asset_job("waiting_job", [waiting, pooled], tags=KINDS["test"].tags())


@dg.sensor(job=job, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asking_sensor() -> list[dg.RunRequest]:
    asked = sorted(path.name for path in _folder().glob("ask-*"))
    return [
        dg.RunRequest(run_key=name, asset_selection=[(pooled if "pool" in name else waiting).key]) for name in asked
    ]


defs = dg.Definitions(
    assets=[waiting, pooled],
    jobs=[job],
    sensors=[asking_sensor, build_retry_sensor([job])],
    executor=dg.in_process_executor,
)
