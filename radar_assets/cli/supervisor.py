"""Child processes that end together: when one of them ends, when they are stopped, and when their parent is killed.

Each has a log of bounded size. What the children do belongs to their commands, and what happens once they are ready to `cli/dev.py`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psutil

REPEAT_S = 12
"""Between two SIGTERM to a child that runs on. Dagster raises an exception from its handler, which Python drops at some moments."""
ATTEMPTS = 4
"""SIGTERMs before a child is killed: the collector takes up to 30 s for requests under way."""
LOOK_S = 0.2
READY_TIMEOUT_S = 2
MAX_LOG_BYTES = 10_000_000
SHOWN_BYTES = 4_000


@dataclass(frozen=True)
class Service:
    """A command to run as a child.

    Attributes:
        name: what its log is called.
        url: where it answers once it is ready; without one it always counts as ready.
    """

    name: str
    command: Sequence[str]
    url: str | None = None


@dataclass
class Child:
    """A service that has been started."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path | None

    def is_ready(self) -> bool:
        """Whether it answers, with anything but an error of its own."""
        if not self.service.url:
            return True
        parts = urlsplit(self.service.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=READY_TIMEOUT_S)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status < 500
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def last_lines(self) -> list[str]:
        """The end of its log."""
        if not self.log:
            return []
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - SHOWN_BYTES))
            return file.read().decode(errors="replace").splitlines()[-20:]

    def bound_log(self) -> None:
        """Begin its log anew once it is large; the part before is kept beside it."""
        if self.log and self.log.stat().st_size > MAX_LOG_BYTES:
            # The child goes on writing to the same file, at its end.
            shutil.copyfile(self.log, _previous(self.log))
            os.truncate(self.log, 0)


class Supervisor:
    """Runs children until the block ends.

    The children are in one process group, whose leader is a process that waits for the end of this one, however that comes about.
    It ends the children by SIGTERM, then kills what is left of the group, their own children included. A process that leaves the
    group lives on, as runs do.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path | None) -> None:
        """
        Args:
            logs: folder for the output of the children; without one they share that of this process.
        """
        self._environment, self._logs = environment, logs
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
        self.children: list[Child] = []
        self._leader = subprocess.Popen(
            [sys.executable, "-m", "radar_assets.cli.supervisor"], stdin=subprocess.PIPE, process_group=0
        )

    def __enter__(self) -> "Supervisor":
        return self

    def start(self, service: Service) -> None:
        """Start a child."""
        log = self._logs / f"{service.name}.log" if self._logs else None
        if log and log.exists():
            log.replace(_previous(log))
        with log.open("ab") if log else nullcontext() as output:
            process = subprocess.Popen(
                service.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not that of this process, so that ctrl-c in a terminal reaches the children by way of the leader alone.
                process_group=self._leader.pid,
            )
        self.children.append(Child(service, process, log))
        assert self._leader.stdin
        self._leader.stdin.write(b"%d\n" % process.pid)
        self._leader.stdin.flush()

    def ended(self) -> Child | None:
        """A child that has ended, if any has."""
        for child in self.children:
            child.bound_log()
        return next((child for child in self.children if child.process.poll() is not None), None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the children."""
        assert self._leader.stdin
        self._leader.stdin.close()
        while self._leader.poll() is None:
            self.ended()  # what is not waited for stays as a zombie
            time.sleep(LOOK_S)
        # For a leader that was killed before its time.
        running = [psutil.Process(child.process.pid) for child in self.children if child.process.poll() is None]
        _end(running, self._leader.pid)


def _previous(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def _end(children: list[psutil.Process], group: int) -> None:
    """End children in order, and then all that is left of their group at once."""
    for _ in range(ATTEMPTS):
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        _, children = psutil.wait_procs(children, timeout=REPEAT_S)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _lead() -> None:
    """Wait for the end of the process that started this one, and of the group then; it sends the ids of its children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        with suppress(psutil.NoSuchProcess):
            children.append(psutil.Process(int(line)))
    _end(children, os.getpgrp())


if __name__ == "__main__":
    _lead()
