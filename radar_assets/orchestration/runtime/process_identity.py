"""Identifies a process in a record that may outlive it, by machine, process id and start time."""

import os
import socket
from typing import NamedTuple

import psutil


class ProcessIdentity(NamedTuple):
    """A process. Its start, in seconds since boot, distinguishes it from a later process with the same id."""

    host: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> "ProcessIdentity":
        """The identity of a running process. Default: this one."""
        pid = pid or os.getpid()
        return cls(socket.gethostname(), pid, _started(psutil.Process(pid)))

    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return self.host == socket.gethostname()

    def process(self) -> psutil.Process | None:
        """The process, if it is running. It has to be on this machine."""
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def _started(process: psutil.Process) -> float:
    # Both change when the clock is set, so the difference stays the same.
    return process.create_time() - psutil.boot_time()
