"""Definitions of an asset that waits until it is released, for tests of runs in progress."""

import os
import time
from pathlib import Path

import dagster as dg

FOLDER = "RADAR_TESTS_FOLDER"
"""Variable with a folder: each file `ask-*` in it requests a run, and a file `go` releases all of them."""


def _folder() -> Path:
    return Path(os.environ[FOLDER])


@dg.asset
def waiting() -> None:
    while not (_folder() / "go").exists():
        time.sleep(0.1)


@dg.sensor(target=[waiting], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asking_sensor() -> list[dg.RunRequest]:
    return [dg.RunRequest(run_key=path.name) for path in sorted(_folder().glob("ask-*"))]


defs = dg.Definitions(assets=[waiting], sensors=[asking_sensor], executor=dg.in_process_executor)
