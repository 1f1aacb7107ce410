"""Commands that run until they are stopped end on a signal, even where Python drops exceptions of its handlers."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from radar_assets.access.projects import ensure_projects
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project

PATIENCE_S = 60
SCRIPT = """
import os, signal, sys, weakref
from radar_assets.cli import main

class Garbage: pass

garbage = [Garbage()]
watched = weakref.ref(garbage[0], lambda _: os.kill(os.getpid(), int(sys.argv[1])))
signal.signal(signal.SIGUSR1, lambda *_: garbage.clear())
main(sys.argv[2:])
"""
"""Runs `radar`; SIGUSR1 makes it receive a signal in a weakref callback."""


@pytest.mark.parametrize(
    ("command", "first", "number"),
    [
        ("live shop", b"\x1b[?1049h", signal.SIGINT),
        ("live shop", b"\x1b[?1049h", signal.SIGTERM),
        ("watch", b"The daemon has", signal.SIGINT),
    ],
    ids=["live SIGINT", "live SIGTERM", "watch SIGINT"],
)
def test_a_periodic_command_ends(command: str, first: bytes, number: int, settings: Settings) -> None:
    store = open_store(settings.database)
    ensure_projects(store, [Project("shop")])
    store.close()
    # As in a terminal, where `radar live` runs until it is stopped.
    environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(int(number)), *shlex.split(command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            assert process.stdout
            output = b""
            while first not in output:
                read = os.read(process.stdout.fileno(), 65_536)
                assert read, output
                output += read
            process.send_signal(signal.SIGUSR1)
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert (process.returncode, b"Traceback" in output) == (0, False), output
    if command.startswith("live"):
        assert b"\x1b[?1049l" in output, "the terminal is as it was"
