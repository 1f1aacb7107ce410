"""Stuck runs, under Dagster's own daemon: they end with their processes, fail and are retried, while runs that work go on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from radar_assets.orchestration.retries import RETRIED_RUN_TAG
from radar_assets.orchestration.runtime import stuck
from radar_assets.orchestration.runtime.launcher import WORKER_TAG
from radar_assets.orchestration.runtime.process_identity import ProcessIdentity
from radar_assets.settings import Settings
from radar_assets_tests.daemons import daemon, monitored_instance
from radar_assets_tests.patience import eventually
from radar_assets_tests.stuck_assets import POOL

STUCK = [{"module_name": "radar_assets_tests.stuck_assets"}]
PATIENCE_S = 240
DEAF = """
import signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"])
print("ready", flush=True)
while True:
    time.sleep(3600)
"""


@pytest.fixture
def instance(settings: Settings, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with monitored_instance(settings) as instance:
        yield instance
    (tmp_path / "go").touch()  # so that no run is left behind


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, asset: str) -> dg.DagsterRun | None:
    runs = instance.get_runs(dg.RunsFilter(statuses=[status]))
    return next((run for run in runs if run.asset_selection == {dg.AssetKey(asset)}), None)


def has(instance: dg.DagsterInstance, run: dg.DagsterRun, status: dg.DagsterRunStatus) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(run_ids=[run.run_id], statuses=[status])))


def processes_of(run: dg.DagsterRun, folder: Path) -> list[psutil.Process]:
    """The process of a run and those of its steps, once a step is under way."""
    eventually((folder / f"step-{run.run_id}").exists)
    worker = psutil.Process(int(run.tags[WORKER_TAG].split()[2]))
    return [worker, *worker.children(recursive=True)]


def test_a_stuck_run_ends_with_its_steps_fails_and_is_retried_while_a_quiet_one_works(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for asset in ("working", "stepped", "blocked"):
        (tmp_path / f"ask-{asset}").touch()
    status = dg.DagsterRunStatus
    with daemon(instance, tmp_path, STUCK):
        working, stopped, blocked = (
            eventually(lambda asset=asset: run_of(instance, status.STARTED, asset))
            for asset in ("working", "stepped", "blocked")
        )
        processes = processes_of(stopped, tmp_path)
        step = int((tmp_path / f"step-{stopped.run_id}").read_text())
        assert step in {process.pid for process in processes[1:]}, "the step has a process of its own"
        for process in processes:
            process.suspend()
        of_blocked = processes_of(blocked, tmp_path)

        for run, gone in ((stopped, processes), (blocked, of_blocked)):
            eventually(lambda run=run: has(instance, run, status.FAILURE), PATIENCE_S)
            eventually(lambda gone=gone: all(map(is_gone, gone)))
        messages = [entry.message for entry in instance.all_logs(stopped.run_id)]
        assert any(text.startswith("The run is stuck: its process") for text in messages), messages
        assert "The run was stuck" in messages[-1], "that is what the UI shows as the reason"
        assert any("The run is stuck" in entry.message for entry in instance.all_logs(blocked.run_id))

        # Its slot was the only one of the pool.
        retry = eventually(lambda: run_of(instance, status.STARTED, "stepped"))
        assert retry.tags[RETRIED_RUN_TAG] == stopped.run_id
        processes_of(retry, tmp_path)
        assert stopped.run_id not in instance.event_log_storage.get_concurrency_info(POOL).active_run_ids
        assert has(instance, working, status.STARTED), "it logged nothing either, but works"
        (tmp_path / "go").touch()
        for run in (working, retry):
            eventually(lambda run=run: has(instance, run, status.SUCCESS))


def test_a_run_is_not_silent_while_the_daemon_was_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(stuck.time, "monotonic", lambda: clock)
    silences = stuck.Silences()
    assert silences.observe("a", 1) == 0, "what was before is unknown"
    clock += 15
    assert silences.observe("a", 1) == 15
    clock += 8 * 3600
    assert silences.observe("a", 1) == 15 + stuck.LONGEST_GAP_S
    assert silences.observe("a", 2) == 0


def test_the_limit_of_a_run_is_its_tag_or_the_setting() -> None:
    assert [stuck.limit_s(tag, 60) for tag in ("7200", "0.5", None, "", "0", "-1", "never")] == [7200, 0.5, *[60] * 5]


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """A process and its child that ignore SIGTERM and SIGINT."""
    code = tmp_path / "deaf.py"
    code.write_text(DEAF)
    with subprocess.Popen([sys.executable, str(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        process = psutil.Process(parent.pid)
        yield [process, *process.children()]
        stuck.Ending(process, grace_s=0).join()


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def run_by(instance: dg.DagsterInstance, process: psutil.Process, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run whose worker is that process."""
    run = dg.DagsterRun("any", status=status)
    identity = ProcessIdentity.of(process.pid)
    run = run.with_tags({WORKER_TAG: " ".join(map(str, (run.run_id, *identity)))})
    instance.add_run(run)
    return run


def test_processes_that_ignore_sigterm_are_killed_with_their_children(deaf: list[psutil.Process]) -> None:
    assert len(deaf) == 2
    signs = stuck.signs_of_life(deaf[0])
    ending = stuck.Ending(deaf[0], grace_s=1)
    ending.join()
    assert not ending.left
    eventually(lambda: all(map(is_gone, deaf)))
    assert stuck.signs_of_life(deaf[0]) != signs


def test_a_run_that_ignores_being_canceled_is_killed(instance: dg.DagsterInstance, deaf: list[psutil.Process]) -> None:
    run = run_by(instance, deaf[0], dg.DagsterRunStatus.STARTED)
    instance.get_settings("run_monitoring")["cancel_timeout_seconds"] = 1
    assert instance.run_launcher.terminate(run.run_id)
    eventually(lambda: all(map(is_gone, deaf)))


def test_a_run_that_monitoring_gives_up_is_killed(instance: dg.DagsterInstance, deaf: list[psutil.Process]) -> None:
    run = run_by(instance, deaf[0], dg.DagsterRunStatus.STARTING)
    assert instance.run_launcher.get_run_worker_debug_info(run) == f"Ending its process {deaf[0].pid}."
    eventually(lambda: all(map(is_gone, deaf)))
    assert instance.run_launcher.get_run_worker_debug_info(run) is None


def test_a_run_elsewhere_is_given_up_but_not_killed_once_it_logs_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = psutil.Process()
    started = me.create_time() - psutil.boot_time()
    clock = 0.0
    monkeypatch.setattr(stuck.time, "monotonic", lambda: clock)

    def health(run: dg.DagsterRun) -> tuple[str, str | None]:
        nonlocal clock
        for _ in range(40):
            found = instance.run_launcher.check_run_worker_health(run)
            clock += 59
        return found.status.name, found.msg

    elsewhere = dg.DagsterRun("any", tags={WORKER_TAG: "x"})
    elsewhere = elsewhere.with_tags({WORKER_TAG: f"{elsewhere.run_id} elsewhere {os.getpid()} {started}"})
    instance.add_run(elsewhere)
    status, text = health(elsewhere)
    assert status == "FAILED"
    assert text and f"Process {os.getpid()} on elsewhere can't be seen from here and was left." in text
    instance.report_engine_event("at work", elsewhere)
    assert instance.run_launcher.check_run_worker_health(elsewhere).status.name == "RUNNING", "it logs"

    unknown = dg.DagsterRun("any")
    limited = dg.DagsterRun("any", tags={stuck.LIMIT_TAG: "60"})
    assert health(unknown)[0] == "RUNNING", "a code server runs it"
    assert health(limited)[0] == "FAILED"
