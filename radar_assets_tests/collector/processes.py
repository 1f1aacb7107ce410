"""`radar collect` as a separate process, for tests of signals, memory, and files that it leaves behind."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from radar_assets.access.keys import create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets_tests.collector.conftest import Collector
from radar_assets_tests.processes import free_port, members

PATIENCE_S = 60
_SCRIPT = "from radar_assets.cli import main; main()"


@dataclass
class CollectorProcess(Collector):
    """A collector in its own process, and its log."""

    process: subprocess.Popen[bytes] | None = None
    log: Path = Path()

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def peak_mb(self) -> float:
        """Its peak memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """CPU time that it has used. Unlike a duration, it includes no time in which the machine did something else."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait. Returns the exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def collecting(home: Path, workers: int = 1, **settings: object) -> Iterator[CollectorProcess]:
    """A running collector on a home, killed when the block ends."""
    values = {"home": home, **settings}
    read: Settings = load_settings(**values).prepare()
    store = open_store(read.database)
    port, log = free_port(), home.parent / f"{home.name}-{time.monotonic_ns()}.log"
    # Without cached bytecode, every start takes seconds.
    bytecode = {"PYTHONDONTWRITEBYTECODE": ""}
    environment = {f"RADAR_{name.upper()}": str(value) for name, value in values.items()}
    command = [sys.executable, "-c", _SCRIPT, "collect", "--port", str(port), "--workers", str(workers)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **bytecode, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    running = CollectorProcess(read, store, port, process=process, log=log)
    for project in ("shop", "blog"):
        ensure_projects(store, [Project(project)])
        running.keys[project] = create_key(store, project)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        for number in members(process.pid):
            os.kill(number, signal.SIGKILL)
        process.wait(PATIENCE_S)
        store.close()


def _wait_until_ready(running: CollectorProcess) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{running.url}/readyz", timeout=PATIENCE_S):
                return
        except (urllib.error.URLError, OSError):
            assert running.process and running.process.poll() is None, running.log.read_text()
            time.sleep(0.05)
    raise AssertionError(running.log.read_text())
