"""The launcher of runs, under Dagster's own daemon: what is forked, what is not, and who notices when a process is gone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from radar_assets.instance import instance_yaml, prepare_instance
from radar_assets.launcher import WORKER_TAG
from radar_assets.settings import Settings
from radar_assets_tests.waiting_assets import FOLDER

PATIENCE_S = 90


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of the home, that looks after its runs each second."""
    home = prepare_instance(settings)
    own = yaml.safe_load(instance_yaml().read_text())
    own["run_monitoring"]["poll_interval_seconds"] = 1
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
            (folder / "go").touch()
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def eventually(find: Callable[[], Any]) -> Any:
    """What is found, once it is."""
    until = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def newest(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun | None:
    return next(iter(instance.get_runs(dg.RunsFilter(statuses=[status]), limit=1)), None)


def process_of(run: dg.DagsterRun) -> psutil.Process:
    return psutil.Process(int(run.tags[WORKER_TAG].split()[1]))


def test_a_run_is_forked_and_when_it_is_killed_or_terminated_that_is_noticed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with daemon(instance, tmp_path, [{"module_name": "radar_assets_tests.waiting_assets"}]):
        (tmp_path / "ask-first").touch()
        run = eventually(lambda: newest(instance, dg.DagsterRunStatus.STARTED))
        assert "multiprocessing.forkserver" in " ".join(process_of(run).parent().cmdline())  # pyright: ignore[reportOptionalMemberAccess]
        process_of(run).kill()
        failed = eventually(lambda: newest(instance, dg.DagsterRunStatus.FAILURE))
        assert failed.run_id == run.run_id
        messages = [entry.message for entry in instance.all_logs(run.run_id)]
        assert any(f"The process {run.tags[WORKER_TAG].split()[1]} of the run is gone" in text for text in messages)

        again = eventually(lambda: newest(instance, dg.DagsterRunStatus.STARTED))
        assert again.parent_run_id == run.run_id, "what failed is tried once more"
        # As the webserver does: another process than the one that launched the run.
        assert instance.run_launcher.terminate(again.run_id)
        assert eventually(lambda: newest(instance, dg.DagsterRunStatus.CANCELED)).run_id == again.run_id
        assert not instance.run_launcher.terminate(again.run_id), "it has ended"


def test_a_run_ends_although_the_daemon_that_launched_it_was_killed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with daemon(instance, tmp_path, [{"module_name": "radar_assets_tests.waiting_assets"}]) as launcher:
        (tmp_path / "ask-first").touch()
        run = eventually(lambda: newest(instance, dg.DagsterRunStatus.STARTED))
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        (tmp_path / "go").touch()
        assert eventually(lambda: newest(instance, dg.DagsterRunStatus.SUCCESS)).run_id == run.run_id


def test_runs_of_another_python_environment_are_left_to_its_code_server(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    (other / "python").symlink_to(sys.executable)
    (other.parent / "pyvenv.cfg").write_text(Path(sys.prefix, "pyvenv.cfg").read_text())
    (other.parent / "lib").symlink_to(Path(sys.prefix, "lib"))
    location = {"module_name": "radar_assets_tests.small_assets", "executable_path": str(other / "python")}
    with daemon(instance, tmp_path, [location]):
        run = eventually(lambda: newest(instance, dg.DagsterRunStatus.SUCCESS))
    assert run.job_code_origin.executable_path == str(other / "python")
    assert WORKER_TAG not in run.tags


def test_a_process_id_that_another_process_has_now_is_no_sign_of_life(instance: dg.DagsterInstance) -> None:
    me = psutil.Process()
    tags = {WORKER_TAG: f"{os.uname().nodename} {me.pid} {me.create_time() - 60}"}
    run = dg.DagsterRun(job_name="any", run_id="any", tags=tags)
    assert instance.run_launcher.check_run_worker_health(run).status.name == "FAILED"
    elsewhere = dg.DagsterRun(job_name="any", run_id="any", tags={WORKER_TAG: f"elsewhere {me.pid} 0.0"})
    assert instance.run_launcher.check_run_worker_health(elsewhere).status.name == "RUNNING"
