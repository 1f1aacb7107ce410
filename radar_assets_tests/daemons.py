"""Dagster's daemon as a process of its own, over any code locations."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

from radar_assets.orchestration.runtime.instance import instance_yaml, prepare_instance
from radar_assets.settings import Settings
from radar_assets_tests.patience import PATIENCE_S
from radar_assets_tests.waiting_assets import FOLDER


@contextmanager
def monitored_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of the home, which monitors its runs every second."""
    home = prepare_instance(settings)
    own = yaml.safe_load(instance_yaml().read_text())
    own["run_monitoring"] |= {"poll_interval_seconds": 1, "start_timeout_seconds": 30}
    (home / "dagster.yaml").write_text(yaml.safe_dump(own))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@contextmanager
def daemon(
    instance: dg.DagsterInstance, folder: Path, locations: list[dict[str, str]]
) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon over code locations, until the block ends."""
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": location} for location in locations]}))
    environment = {**os.environ, FOLDER: str(folder), "DAGSTER_HOME": instance.root_directory}
    command = [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
