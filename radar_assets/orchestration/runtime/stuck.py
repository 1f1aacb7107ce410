"""Tells runs that are stuck from runs that work quietly, by their processes, and ends those processes.

A run gives a sign of life when a process of it uses the CPU. The daemon reads that from the system, so runs need no heartbeat: a
long SQL statement counts as work although it logs nothing, and a process that is stopped, deadlocked, or waits for an answer that
never comes is silent, whatever a thread for heartbeats would report.
"""

import signal
import threading
import time
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

LIMIT_TAG = "radar/stuck_after"
"""Tag of jobs and runs: how long a run may be silent, in seconds. Default: the setting."""
LONGEST_GAP_S = 60.0
"""The longest time between two looks that counts as silence. If it was longer, the daemon itself was suspended or stalled."""
FORGOTTEN_AFTER_S = 600.0
GRACE_S = 10.0
"""Time between SIGTERM and SIGKILL."""
GONE_WITHIN_S = 5.0
"""How long a killed process may take to end. One that waits for a broken disk does not end at all."""


@dataclass
class _Look:
    """What was seen of a run at the last look.

    Attributes:
        at: by the monotonic clock, which stands still while a machine is suspended.
        silent_s: seconds without a sign of life until then.
    """

    signs: Hashable
    at: float
    silent_s: float = 0.0


class Silences:
    """How long runs have been silent, as far as this process has watched."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}

    def observe(self, run_id: str, signs: Hashable) -> float:
        """Note the signs of life of a run.

        Returns:
            Seconds for which they have not changed. 0 at the first look, so that no run counts as stuck because a daemon was down.
        """
        now = time.monotonic()
        before = self._looks.get(run_id)
        look = _Look(signs, now)
        if before and before.signs == signs:
            look.silent_s = before.silent_s + min(now - before.at, LONGEST_GAP_S)
        self._looks = {known: each for known, each in self._looks.items() if now - each.at < FORGOTTEN_AFTER_S}
        self._looks[run_id] = look
        return look.silent_s


def limit_s(tag: str | None, default_s: float) -> float:
    """How long a run may be silent, in seconds, by its tag. A tag that is not a positive number counts as none."""
    with suppress(ValueError):
        if tag and (limit := float(tag)) > 0:
            return limit
    return default_s


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started, such as those of steps."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def signs_of_life(process: psutil.Process) -> Hashable:
    """The CPU time of each process of a run. It changes when one of them works, starts or ends."""
    signs = set()
    for each in with_children(process):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            signs.add((each.pid, each.create_time(), times.user, times.system))
    return frozenset(signs)


class Ending(threading.Thread):
    """Ends a run with its steps, in a thread of its own, so that run monitoring goes on meanwhile."""

    def __init__(
        self, process: psutil.Process, first: signal.Signals = signal.SIGTERM, grace_s: float = GRACE_S
    ) -> None:
        """Begin.

        Args:
            first: signal that gives the run time to log how it ended and to release what it holds.
            grace_s: that time. Then all of its processes are killed, since one that is stopped or deadlocked does not react.
        """
        super().__init__(name=f"end of process {process.pid}", daemon=True)
        self._process, self._grace_s = process, grace_s
        # Listed now: those of a parent that has ended can't be found any more.
        self._found = with_children(process)
        self.left: Sequence[psutil.Process] = ()
        """Those that do not end, once the thread has."""
        _send(first, self._found)
        self.start()

    def run(self) -> None:
        """Wait for those that react, and kill the others."""
        left = psutil.wait_procs(self._found, timeout=self._grace_s)[1]
        # The run first, because it starts steps.
        left = list(dict.fromkeys([*with_children(self._process), *left]))
        _send(signal.SIGKILL, left)
        self.left = psutil.wait_procs(left, timeout=GONE_WITHIN_S)[1]


def _send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        # It does not signal a later process with the same id.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
