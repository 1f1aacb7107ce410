"""`radar serve`: serves the definitions behind the guard, and ends with its code server on a signal at any moment."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from radar_assets_tests.cli.test_dev import PATIENCE_S, SCRIPT, left_of
from radar_assets_tests.processes import free_port, members

QUICKLY_S = 50
"""Shorter than the minute after which a code server without heartbeats ends by itself."""


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`radar serve` as a process. Remaining processes are killed."""
    command = [sys.executable, "-c", SCRIPT, "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            for number in members(process.pid):
                os.kill(number, signal.SIGKILL)


def status_of(port: int, path: str = "/readyz", **headers: str) -> int:
    """The status of a page; 0 without a response."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def serves(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the UI responds."""
    deadline = time.monotonic() + PATIENCE_S
    while status_of(port) != 200:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def code_server(process: subprocess.Popen[bytes]) -> int | None:
    """The code server that the UI has started, once it runs."""
    for pid in members(process.pid):
        with suppress(OSError):
            if b"dagster\0api\0grpc" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def test_it_serves_the_definitions_behind_guard_and_login_and_a_signal_ends_it_with_its_code_server() -> None:
    port = free_port()
    with serving(port) as process:
        serves(process, port)
        assert status_of(port, Host="evil.example") == 421
        assert status_of(port, "/runs") == 401
        assert code_server(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert left_of(process) == []


def test_kill_ends_it_with_its_code_server() -> None:
    port = free_port()
    with serving(port) as process:
        serves(process, port)
        process.kill()
        process.wait()
        assert left_of(process, QUICKLY_S) == []


def test_a_signal_while_its_code_server_starts_ends_both() -> None:
    with serving(free_port()) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not code_server(process):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.terminate()
        process.wait(PATIENCE_S)
        assert left_of(process, QUICKLY_S) == []


@pytest.mark.parametrize("delay_s", [0.5, 2])
def test_a_signal_during_the_start_ends_it_at_once(delay_s: float) -> None:
    with serving(free_port()) as process:
        time.sleep(delay_s)
        process.send_signal(signal.SIGTERM)
        assert process.wait(QUICKLY_S) in (0, -signal.SIGTERM)
        assert left_of(process, QUICKLY_S) == []
