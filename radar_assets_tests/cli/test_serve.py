"""`radar serve`: Radar's definitions behind the guard, and a signal at any moment ends it with its code server."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from radar_assets_tests.cli.test_dev import PATIENCE_S, SCRIPT, free_port, left_of, members


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`radar serve` as a process; whatever it leaves is killed."""
    command = [sys.executable, "-c", SCRIPT, "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            for number in members(process.pid):
                os.kill(number, signal.SIGKILL)


def status_of(port: int, **headers: str) -> int:
    """The status of a page; 0 if nothing answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_it_serves_the_definitions_behind_the_guard_and_a_signal_ends_it_with_its_code_server() -> None:
    port = free_port()
    with serving(port) as process:
        deadline = time.monotonic() + PATIENCE_S
        while status_of(port) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert status_of(port, Host="evil.example") == 421
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert left_of(process) == []


@pytest.mark.parametrize("delay_s", [0.5, 2])
def test_a_signal_during_the_start_ends_it_at_once(delay_s: float) -> None:
    with serving(free_port()) as process:
        time.sleep(delay_s)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) in (0, -signal.SIGTERM)
