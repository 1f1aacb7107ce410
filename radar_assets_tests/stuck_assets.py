"""Definitions of assets that work, or wait for something that never comes, until they are released, for tests of stuck runs."""

import os
import threading
import time
from pathlib import Path

import dagster as dg

from radar_assets.orchestration.job_kinds import KINDS
from radar_assets.orchestration.retries import build_retry_sensor
from radar_assets.orchestration.runtime.stuck import LIMIT_TAG
from radar_assets_tests.waiting_assets import FOLDER

LIMIT_S = 30
"""How long these runs may be silent. A machine that stalls for less ends no run that works."""
POOL = "cleanup"
"""A pool of one run."""


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _work(run_id: str) -> None:
    """Use the CPU, without a line in the log, until the file `go` exists."""
    (_folder() / f"step-{run_id}").write_text(str(os.getpid()))
    while not (_folder() / "go").exists():
        sum(range(1_000_000))
        time.sleep(0.2)


@dg.asset
def working(context: dg.AssetExecutionContext) -> None:
    _work(context.run_id)


@dg.asset(pool=POOL)
def stepped(context: dg.AssetExecutionContext) -> None:
    _work(context.run_id)


@dg.asset
def blocked(context: dg.AssetExecutionContext) -> None:
    (_folder() / f"step-{context.run_id}").write_text(str(os.getpid()))
    threading.Event().wait()


tags = {**KINDS["test"].tags(), LIMIT_TAG: str(LIMIT_S)}
within = dg.define_asset_job("within_job", [working, blocked], tags=tags, executor_def=dg.in_process_executor)
apart = dg.define_asset_job("apart_job", [stepped], tags=tags, executor_def=dg.multiprocess_executor)


@dg.sensor(jobs=[within, apart], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asking_sensor() -> list[dg.RunRequest]:
    """Requests a run of an asset for each file `ask-ASSET`."""
    names = sorted(path.name.removeprefix("ask-") for path in _folder().glob("ask-*"))
    return [
        dg.RunRequest(
            run_key=name,
            job_name=(apart if name == "stepped" else within).name,
            asset_selection=[dg.AssetKey(name)],
        )
        for name in names
    ]


defs = dg.Definitions(
    assets=[working, stepped, blocked],
    jobs=[within, apart],
    sensors=[asking_sensor, build_retry_sensor([within, apart])],
)
