"""The launcher of runs, under Dagster's own daemon: which runs are forked, and how a dead process is detected."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import psutil
import pytest

from radar_assets.orchestration.retries import RETRIED_RUN_TAG
from radar_assets.orchestration.runtime.launcher import WORKER_TAG
from radar_assets.settings import Settings
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.patience import PATIENCE_S, eventually

WAITING = {"module_name": "radar_assets_tests.waiting_assets"}
UNDER_WAY = dg.RunsFilter(
    statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
)


@pytest.fixture
def instance(settings: Settings, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with monitored_instance(settings) as instance:
        yield instance
    (tmp_path / "go").touch()  # so that no run is left behind


def two(runs: Sequence[dg.DagsterRun]) -> Sequence[dg.DagsterRun] | None:
    return runs if len(runs) == 2 else None


def newest(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun | None:
    return next(iter(instance.get_runs(dg.RunsFilter(statuses=[status]), limit=1)), None)


def process_of(run: dg.DagsterRun) -> psutil.Process:
    run_id, _, pid, _ = run.tags[WORKER_TAG].split()
    assert run_id == run.run_id
    return psutil.Process(int(pid))


def other_environment(folder: Path) -> str:
    """The path of another Python, with the same libraries."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text(Path(sys.prefix, "pyvenv.cfg").read_text())
    (folder / "lib").symlink_to(Path(sys.prefix, "lib"))
    return str(python)


def test_a_run_is_forked_and_its_kill_or_termination_is_detected(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    other = {
        "module_name": "radar_assets_tests.small_assets",
        "executable_path": other_environment(tmp_path / "other"),
    }
    with daemon(instance, tmp_path, [WAITING, other]):
        elsewhere = eventually(lambda: newest(instance, dg.DagsterRunStatus.SUCCESS))
        assert elsewhere.job_code_origin.executable_path == other["executable_path"]
        assert WORKER_TAG not in elsewhere.tags, "what this environment can't run is left to its code server"
        eventually(lambda: not instance.get_runs(UNDER_WAY))

        (tmp_path / "ask-first").touch()
        run = eventually(lambda: newest(instance, dg.DagsterRunStatus.STARTED))
        parent = process_of(run).parent()
        assert parent and "multiprocessing.forkserver" in " ".join(parent.cmdline())
        pid = process_of(run).pid
        assert os.getpgid(parent.pid) == os.getpgid(pid) == parent.pid, (
            "in no group that `radar dev` kills, from its fork on"
        )
        process_of(run).kill()
        failed = eventually(lambda: newest(instance, dg.DagsterRunStatus.FAILURE))
        assert failed.run_id == run.run_id
        messages = [entry.message for entry in instance.all_logs(run.run_id)]
        assert any(f"The process {pid} of the run is gone" in text for text in messages)

        again = eventually(lambda: newest(instance, dg.DagsterRunStatus.STARTED))
        assert again.tags[RETRIED_RUN_TAG] == run.run_id, "what failed is retried"
        assert process_of(again).pid != pid
        # In another process than the one that launched the run, like the webserver.
        assert instance.run_launcher.terminate(again.run_id)
        assert eventually(lambda: newest(instance, dg.DagsterRunStatus.CANCELED)).run_id == again.run_id
        assert not instance.run_launcher.terminate(again.run_id), "it has ended"


def test_runs_survive_the_daemon_and_the_next_one_monitors_them(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with daemon(instance, tmp_path, [WAITING]) as launcher:
        for number in range(2):
            (tmp_path / f"ask-{number}").touch()
        first, second = eventually(
            lambda: two(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])))
        )
        launcher.terminate()
        launcher.wait(timeout=PATIENCE_S)
        assert process_of(first).is_running() and process_of(second).is_running()
    with daemon(instance, tmp_path, [WAITING]):
        process_of(first).kill()
        assert eventually(lambda: newest(instance, dg.DagsterRunStatus.FAILURE)).run_id == first.run_id
        (tmp_path / "go").touch()
        ended = dg.RunsFilter(run_ids=[second.run_id], statuses=[dg.DagsterRunStatus.SUCCESS])
        eventually(lambda: instance.get_runs(ended))


def test_only_the_process_of_a_run_counts_as_running(instance: dg.DagsterInstance) -> None:
    def health(tag: str) -> str:
        run = dg.DagsterRun(job_name="any", run_id="any", tags={WORKER_TAG: tag})
        return instance.run_launcher.check_run_worker_health(run).status.name

    me, host = psutil.Process(), os.uname().nodename
    started = me.create_time() - psutil.boot_time()
    assert health(f"any {host} {me.pid} {started}") == "RUNNING"
    assert health(f"any {host} {me.pid} {started - 60}") == "FAILED", "the number is another process's now"
    assert health(f"other {host} {me.pid} {started - 60}") == "RUNNING", (
        "the tag is of the run that this one tries again"
    )
    assert health(f"any elsewhere {me.pid} 0.0") == "RUNNING", "what can't be seen from here"


def test_runs_are_forked_from_a_process_without_radars_own_modules() -> None:
    """Otherwise, runs would have the code from when the daemon launched its first run."""
    module = "radar_assets.orchestration.runtime.preload"
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if name.startswith('radar_assets')))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert output.split() == [
        "radar_assets",
        "radar_assets.orchestration",
        "radar_assets.orchestration.runtime",
        module,
    ]
