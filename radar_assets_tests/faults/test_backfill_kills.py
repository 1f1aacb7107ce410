"""A backfill is complete after the daemon, its code server and the runs in progress were killed and started again."""

import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest

from radar_assets.orchestration.retries import RETRIED_RUN_TAG
from radar_assets.orchestration.runtime.backfills import backfills_in_progress, progress
from radar_assets.orchestration.runtime.instance import instance_yaml
from radar_assets.settings import Settings
from radar_assets.windows import DAY, HOUR_KEY, Window, utc_now
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.patience import eventually, undisturbed
from radar_assets_tests.platform import Platform, event

START = Window.of_day((utc_now() - DAY).date()).start
"""Recent, because the daemon also builds all days until today."""
HOUR = timedelta(hours=1)
HOURLY = ("raw_events", "events", "hourly_metrics")
RADAR = {"module_name": "radar_assets.definitions"}
RUNNING = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])


def key(hour: int) -> str:
    return (START + hour * HOUR).strftime(HOUR_KEY)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a daemon, its code servers and all of its runs at once."""
    family = psutil.Process(process.pid).children(recursive=True)
    for each in [psutil.Process(process.pid), *family]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def test_a_job_backfill_that_is_killed_ends_complete(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    partitions = int(request.config.getoption("--backfill-partitions") or 0)
    patience_s = 120 + 10 * partitions
    with monitored_instance(settings) as instance:
        platform = Platform(settings, instance)
        for hour in range(partitions):
            platform.land(START + hour * HOUR, [event(str(hour), START + hour * HOUR)], "a")
        platform.rebuild("hourly_job", key(0), key(partitions - 1))
        before = {table: platform.rows(table) for table in HOURLY}

        def kill_half_way() -> tuple[str, set[str]]:
            """Launch a backfill and kill its processes. Returns its id and the runs that were killed."""
            with daemon(instance, tmp_path, [RADAR]) as process:
                command = ["-m", "dagster", "job", "backfill", "-w", "workspace.yaml", "-j", "hourly_job", "--noprompt"]
                launched = subprocess.run(
                    [sys.executable, *command, "--from", key(0), "--to", key(partitions - 1)],
                    cwd=instance_yaml().parent,
                    env={**os.environ, "DAGSTER_HOME": instance.root_directory},
                    check=True,
                    capture_output=True,
                    text=True,
                )
                (id,) = re.findall(r"Launched backfill job `(\w+)`", launched.stdout)
                eventually(lambda: (found := progress(instance, id)) and found.done, patience_s)
                # All may have ended by now if this process stalls.
                eventually(lambda: instance.get_runs_count(RUNNING) or not backfills_in_progress(instance), patience_s)
                kill(process)
            killed = {run.run_id for run in instance.get_runs(RUNNING) if run.tags.get("dagster/backfill") == id}
            half_way = progress(instance, id)
            assert half_way
            assert half_way.total == partitions
            assert half_way.done < partitions
            assert half_way.left is not None
            assert killed
            return id, killed

        id, killed = undisturbed(kill_half_way)
        with daemon(instance, tmp_path, [RADAR]):
            assert id in [each.id for each in backfills_in_progress(instance)]
            eventually(lambda: not backfills_in_progress(instance), patience_s)
        ended = progress(instance, id)
        assert ended
        assert (ended.done, ended.failed) == (partitions, 0)
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": id}))
        succeeded = Counter(run.tags["dagster/partition"] for run in runs if run.is_success)
        assert succeeded == Counter({key(hour): 1 for hour in range(partitions)})
        failed = {run.run_id for run in runs if run.is_failure_or_canceled}
        retried = [run.tags[RETRIED_RUN_TAG] for run in runs if RETRIED_RUN_TAG in run.tags]
        assert sorted(retried) == sorted(failed), "each once"
        assert killed & failed
        assert {table: platform.rows(table) for table in HOURLY} == before
