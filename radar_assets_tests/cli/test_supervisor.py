"""Children of a supervisor end with their parent, in order if possible, and their logs stay small."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from radar_assets.cli import supervisor
from radar_assets.cli.supervisor import Service, Supervisor
from radar_assets_tests.patience import undisturbed

PATIENCE_S = 60
PARENT = """
import os, sys, time
from radar_assets.cli.supervisor import Service, Supervisor
with Supervisor(os.environ, None) as running:
    for number, script in enumerate(sys.argv[1:]):
        running.start(Service(str(number), ["bash", "-c", script]))
    while not running.ended():
        time.sleep(0.05)
"""
ORDERLY = "trap 'echo ended > {folder}/ended; exit' TERM; echo $$ > {folder}/orderly; while :; do sleep 0.1; done"
# A child of a child, which only SIGKILL ends.
STUBBORN = "(trap '' TERM INT HUP; echo $BASHPID > {folder}/stubborn; while :; do sleep 0.1; done) & wait"
OWN_GROUP = "setsid bash -c 'echo $$ > {folder}/own-group; sleep 600' & wait"


def eventually(find: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not find():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def parent(folder: Path, *scripts: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with running children, which are killed when the block ends."""
    filled = [script.format(folder=folder) for script in scripts]
    process = subprocess.Popen([sys.executable, "-c", PARENT, *filled], start_new_session=True)
    try:
        eventually(lambda: len([path for path in folder.iterdir() if path.read_text().strip()]) == len(scripts))
        yield process
    finally:
        for path in folder.iterdir():
            if path.name != "ended" and runs(int(path.read_text())):
                os.kill(int(path.read_text()), signal.SIGKILL)
        process.kill()
        process.wait()


def pid_of(folder: Path, name: str) -> int:
    return int((folder / name).read_text())


def test_children_and_theirs_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with parent(tmp_path, ORDERLY, STUBBORN, OWN_GROUP) as process:
        process.kill()
        for name in ("orderly", "stubborn"):
            eventually(lambda name=name: not runs(pid_of(tmp_path, name)))
        assert (tmp_path / "ended").exists(), "by a signal that lets it end in order"
        assert runs(pid_of(tmp_path, "own-group")), "what has left the group is not the supervisor's to end"


def test_children_end_when_the_leader_of_their_group_is_killed(tmp_path: Path) -> None:
    """Without their leader, they would outlive a killed parent."""
    with parent(tmp_path, ORDERLY, STUBBORN) as process:
        [leader] = [child for child in psutil.Process(process.pid).children() if "bash" not in child.name()]
        leader.kill()
        process.wait(PATIENCE_S)
        assert not runs(pid_of(tmp_path, "orderly")) and (tmp_path / "ended").exists()
        eventually(lambda: not runs(pid_of(tmp_path, "stubborn")))


def test_a_child_that_ignores_signals_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through `_end`, which the leader of a group calls too, with shorter pauses."""
    monkeypatch.setattr(supervisor, "REPEAT_S", 0.8)
    script = "import signal, time; signal.signal(15, lambda *_: print('asked', flush=True)); print('up', flush=True); time.sleep(60)"

    def end() -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, process_group=0, stdin=subprocess.DEVNULL
        )
        assert child.stdout and child.stdout.readline() == "up\n"
        supervisor._end([psutil.Process(child.pid)], child.pid)
        assert child.wait(PATIENCE_S) == -signal.SIGKILL
        # Signals that arrive while another one is pending count as one.
        assert 1 < child.stdout.read().count("asked") <= supervisor.ATTEMPTS

    undisturbed(end)


def test_a_log_holds_the_last_start_and_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_LOG_BYTES", 10_000)

    def log_twice() -> None:
        logs = tmp_path / str(time.monotonic_ns())
        for start in range(2):
            with Supervisor(os.environ, logs) as running:
                script = f"for n in $(seq 300); do echo start {start} line $n $(printf %0100d 0); sleep 0.001; done; echo why"
                running.start(Service("talker", ["bash", "-c", script]))
                eventually(running.ended)
                child = running.ended()
                assert child and child.last_lines()[-1] == "why"
        assert sorted(path.name for path in logs.iterdir()) == ["talker.log", "talker.log.1"]
        assert sum(path.stat().st_size for path in logs.iterdir()) < 30_000
        assert "start 0" not in (logs / "talker.log").read_text()

    undisturbed(log_twice)
