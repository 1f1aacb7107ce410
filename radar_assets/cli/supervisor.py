"""Child processes that end together: when one that is not restarted ends, when they are stopped, and when their parent is killed.

Each child can have a log of bounded size. The commands of Radar's own children are in `services.py`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psutil

REPEAT_S = 12
"""Pause between two SIGTERMs. Dagster raises an exception in its signal handler, and Python drops it if it arrives in a destructor."""
ATTEMPTS = 4
"""SIGTERMs before a child is killed. The collector takes up to 30 s to answer requests in progress."""
LOOK_S = 0.2
READY_TIMEOUT_S = 2
MAX_LOG_BYTES = 10_000_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Pause before the first restart, and the maximum. It doubles with each restart, until the service has run for `STEADY_S`."""
STEADY_S = 300.0
CHECK_EVERY_S = 2.0
SHOWN_BYTES = 4_000


@dataclass(frozen=True)
class Service:
    """A command to run as a child process.

    Attributes:
        name: names its log.
        url: responds once the service is ready. A service without a URL counts as ready.
        title: what people call it.
        has_failed: for a service that is restarted: whether its running process can't do its work any more. Such a service doesn't end
            the others when it ends.
    """

    name: str
    command: Sequence[str]
    url: str | None = None
    title: str = ""
    has_failed: Callable[[psutil.Process], bool] | None = None


@dataclass
class Child:
    """A service that has been started."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path | None = None
    is_log_cut: bool = False
    started_at: float = field(default_factory=time.monotonic)
    restarts: int = 0
    restart_at: float | None = None

    def is_ready(self) -> bool:
        """Whether its URL responds with a status below 500."""
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
        parts = [_previous(self.log), self.log] if self.is_log_cut else [self.log]
        return b"".join(map(_end_of, parts)).decode(errors="replace").splitlines()[-20:]

    def bound_log(self) -> None:
        """Move the content of a large log to a second file, which replaces the one before."""
        if self.log and self.log.stat().st_size > MAX_LOG_BYTES:
            # The child keeps writing to the same file, which it opened in append mode.
            shutil.copyfile(self.log, _previous(self.log))
            os.truncate(self.log, 0)
            self.is_log_cut = True


class Supervisor:
    """Runs child processes until the block ends.

    All children are in one process group. Its leader is a helper process that waits until this process ends, for whatever reason,
    SIGKILL included. Then it sends SIGTERM to the children and finally kills the whole group, including the children's own children.
    A process that has left the group survives, as runs do.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path | None) -> None:
        """
        Args:
            logs: folder for the output of the children. Without it, they share the output of this process.
        """
        self._environment, self._logs = environment, logs
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
        self.children: list[Child] = []
        leader = Service("process group leader", [sys.executable, "-m", "radar_assets.cli.supervisor"])
        self._check_at = 0.0
        self._leader = Child(leader, subprocess.Popen(leader.command, stdin=subprocess.PIPE, process_group=0))

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, service: Service) -> Child:
        """Start a child."""
        log = self._logs / f"{service.name}.log" if self._logs else None
        if log and log.exists():
            log.replace(_previous(log))
        group = self._leader.process
        with log.open("ab") if log else nullcontext() as output:
            process = subprocess.Popen(
                service.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # In a group of its own, a child doesn't get the Ctrl-C of a terminal directly: it is stopped in order.
                process_group=group.pid,
            )
        child = Child(service, process, log)
        self.children.append(child)
        assert group.stdin
        with suppress(BrokenPipeError):  # the leader was killed: `ended` reports it
            group.stdin.write(b"%d\n" % process.pid)
            group.stdin.flush()
        return child

    def restart_failed(self) -> list[str]:
        """Restart services that have ended or failed, if they are to be restarted. Returns a line for each that has."""
        lines, now = [], time.monotonic()
        is_checked = now >= self._check_at
        if is_checked:
            self._check_at = now + CHECK_EVERY_S
        for child in [each for each in self.children if each.service.has_failed]:
            has_ended = child.process.poll() is not None
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self.children.remove(child)
                    self.start(child.service).restarts = child.restarts + 1
                continue
            if not has_ended and (not is_checked or not _has_failed(child)):
                continue
            end = end_of(child) if has_ended else "its process is gone"
            if not has_ended:
                child.process.kill()
                child.process.wait()
            child.restarts = 0 if now - child.started_at >= STEADY_S else child.restarts
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**child.restarts)
            child.restart_at = now + pause
            lines.append(f"{child.service.name} ended ({end}); it is restarted in {pause:.0f} s")
        return lines

    def ended(self) -> Child | None:
        """A child that has ended and is not restarted, if any.

        The group's leader counts too: without it, children could outlive this process.
        """
        for child in self.children:
            child.bound_log()
        # Each is polled, since a child that is not stays a zombie, which the leader takes for running.
        ended = [child for child in [*self.children, self._leader] if child.process.poll() is not None]
        return next((child for child in ended if not child.service.has_failed), None)

    def stop(self, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Stop the children: by SIGTERM, and by SIGKILL if they ignore that or as soon as it is urgent."""
        group = self._leader.process
        assert group.stdin
        with suppress(BrokenPipeError):
            group.stdin.close()
        while group.poll() is None and not is_urgent():
            self.ended()  # reaps children, which would otherwise remain as zombies
            time.sleep(LOOK_S)
        # Nothing is left to do here unless it is urgent or the leader was killed.
        running = [psutil.Process(child.process.pid) for child in self.children if child.process.poll() is None]
        _end(running, group.pid, is_urgent)
        group.wait()


def end_of(child: Child) -> str:
    """How a child that has ended did."""
    code = child.process.returncode
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _has_failed(child: Child) -> bool:
    try:
        return bool(child.service.has_failed and child.service.has_failed(psutil.Process(child.process.pid)))
    except psutil.NoSuchProcess:
        return False  # it has just ended


def _end_of(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - SHOWN_BYTES))
        return file.read()


def _previous(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def _end(children: list[psutil.Process], group: int, is_urgent: Callable[[], bool] = lambda: False) -> None:
    """Stop children by SIGTERM, then kill everything that is left of their group."""
    for _ in range(ATTEMPTS):
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        repeat_at = time.monotonic() + REPEAT_S
        while children and not is_urgent() and time.monotonic() < repeat_at:
            _, children = psutil.wait_procs(children, timeout=LOOK_S)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _lead() -> None:
    """Read the ids of the children from stdin; once the parent ends, which closes stdin, stop them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        with suppress(psutil.NoSuchProcess):
            children.append(psutil.Process(int(line)))
    _end(children, os.getpgrp())


if __name__ == "__main__":
    _lead()
