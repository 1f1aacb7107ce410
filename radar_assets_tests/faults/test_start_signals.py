"""A signal at any moment of the start of a collector or of `radar dev` ends it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radar_assets_tests.processes import free_port, members

PATIENCE_S = 120
WORKERS = (1, 2, 1, 2)
"""Number of collectors that start at a time."""
RADAR = "import sys; from radar_assets.cli import main; main(sys.argv[1:])"
IN_A_CALLBACK = """
import os, signal, sys, weakref
from radar_assets.cli import main

class Garbage: pass

def collect(event, arguments):
    global serving
    serving = serving or event == "resource.setrlimit"
    is_import = event == "exec" and arguments[0].co_filename.endswith("collector/app.py")
    if serving and (is_import or event == "socket.bind"):
        garbage.clear()

serving, garbage = False, [Garbage()]
watched = weakref.ref(garbage[0], lambda _: os.kill(os.getpid(), int(sys.argv[1])))
sys.addaudithook(collect)
main(sys.argv[2:])
"""
"""Runs `radar`, which receives a signal in a weakref callback, where Python drops exceptions.

That happens before uvicorn has its own handlers: as it imports the application, or, if that is for workers, as it binds the port.
"""


def start(home: Path, workers: int, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a collector in its own session. Its log is beside the home."""
    return radar(home, script, *arguments, "collect", "--port", str(free_port()), "--workers", str(workers))


def radar(home: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command in its own session. Its log is beside the home."""
    # Without cached bytecode, every start takes seconds.
    environment = {**os.environ, "RADAR_HOME": str(home), "PYTHONDONTWRITEBYTECODE": ""}
    with home.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process, once all processes of its session have ended."""
    deadline = time.monotonic() + PATIENCE_S
    try:
        while members(process.pid):
            assert time.monotonic() < deadline, "it runs on"
            process.poll()
            time.sleep(0.05)
        return process.wait()
    finally:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_a_weakref_callback_ends_the_collector(number: int, workers: int, tmp_path: Path) -> None:
    home = tmp_path / "radar"
    assert ended(start(home, workers, IN_A_CALLBACK, str(int(number)))) == 0
    assert "startup" not in home.with_suffix(".log").read_text()
    assert list((home / "tmp").iterdir()) == []


def test_a_signal_at_any_moment_of_the_start_ends_the_collector(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    signals = int(request.config.getoption("--start-signals") or 12)
    dice, home = random.Random(1), tmp_path / "radar"
    log, began = home.with_suffix(".log"), time.monotonic()
    running = [start(home, workers, RADAR) for workers in WORKERS]
    while log.read_text().count("Application startup complete") < sum(WORKERS):
        assert time.monotonic() < began + PATIENCE_S, log.read_text()
        time.sleep(0.05)
    longest_s = time.monotonic() - began
    for process in running:
        process.terminate()
    assert [ended(process) for process in running] == [0] * len(WORKERS)
    codes = []
    while len(codes) < signals:
        began = time.monotonic()
        running = [start(home, workers, RADAR) for workers in WORKERS]
        moments = sorted(dice.uniform(0, longest_s) for _ in running)
        for process, moment in zip(dice.sample(running, len(running)), moments, strict=True):
            time.sleep(max(0, began + moment - time.monotonic()))
            process.terminate()
        codes += [ended(process) for process in running]
    # Before Radar handles signals, they have their default action.
    assert set(codes) <= {0, -signal.SIGTERM}
    assert list((home / "tmp").iterdir()) == []


def test_a_signal_at_any_moment_of_the_start_ends_radar_dev(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    signals = int(request.config.getoption("--start-signals") or 12) // 6
    dice, codes = random.Random(1), []
    while len(codes) < signals:
        options = [["--port", str(free_port()), "--collector-port", str(free_port())] for _ in range(2)]
        running = [radar(tmp_path / str(number), RADAR, "dev", *option) for number, option in enumerate(options)]
        for process, pause_s in zip(running, (dice.uniform(0, 6), dice.uniform(0, 6)), strict=True):
            time.sleep(pause_s)
            process.terminate()
        codes += [ended(process) for process in running]
    assert set(codes) <= {0, -signal.SIGTERM}
