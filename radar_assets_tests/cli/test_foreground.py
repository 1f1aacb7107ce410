"""Services in the foreground: what is printed when they stop, and that a second Ctrl-C doesn't wait."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from radar_assets.cli.supervisor import REPEAT_S
from radar_assets_tests.cli.test_supervisor import ORDERLY, STUBBORN, eventually, pid_of, runs

SCRIPT = """
import os, signal, sys
from radar_assets.cli.foreground import run_services
from radar_assets.cli.signals import StopSignals
from radar_assets.cli.supervisor import Service
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may have been started by nohup
stop = StopSignals(handles_second=True)
services = [Service(str(number), ["bash", "-c", script]) for number, script in enumerate(sys.argv[1:])]
sys.exit(run_services(services, os.environ, stop, when_ready=lambda: print("ready", flush=True)))
"""
SLOW = "trap '' TERM; echo $$ > {folder}/slow; while :; do sleep 0.1; done"


@contextmanager
def started(*scripts: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Services in the foreground of a process, once all of them are ready. It is killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *(script.format(folder=folder) for script in scripts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() == "ready\n"
            eventually(lambda: len([path for path in folder.iterdir() if path.read_text().strip()]) == len(scripts))
            yield process
        finally:
            process.kill()


def test_the_first_ctrl_c_says_that_it_stops_and_the_second_kills_at_once(tmp_path: Path) -> None:
    with started(SLOW, STUBBORN, folder=tmp_path) as process:
        assert process.stderr
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "Stopping ... Press Ctrl-C again to kill everything.\n"
        time.sleep(0.5)
        assert runs(pid_of(tmp_path, "slow")), "a first one waits"
        asked_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert time.monotonic() - asked_at < REPEAT_S, "without the pause that a first one makes"
        assert process.stderr.read().startswith("Killed.")
        for name in ("slow", "stubborn"):
            assert not runs(pid_of(tmp_path, name))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_services_in_order(number: int, tmp_path: Path) -> None:
    with started(ORDERLY, folder=tmp_path) as process:
        process.send_signal(number)
        assert process.wait(60) == 0
        assert (tmp_path / "ended").exists()
