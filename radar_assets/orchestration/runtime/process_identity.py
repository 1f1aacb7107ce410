"""Which process is meant by a record that may outlive it: its machine, its number and its start."""

import os
import socket
from typing import NamedTuple

import psutil


class ProcessIdentity(NamedTuple):
    """A process. Its start, in seconds since the machine's, tells it from a later one of the same number."""

    host: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int | None = None) -> "ProcessIdentity":
        """That of a process that runs, by default of this one."""
        pid = pid or os.getpid()
        return cls(socket.gethostname(), pid, _started(psutil.Process(pid)))

    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def process(self) -> psutil.Process | None:
        """The process, if it lives. It has to be one of this machine."""
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def _started(process: psutil.Process) -> float:
    # Both follow the clock when that is set, so the difference doesn't.
    return process.create_time() - psutil.boot_time()
