"""Measurements: figures with floors and bounds, and processes with their time and memory."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Figure:
    """A measured value.

    Attributes:
        floor: what the same work costs without the product, in the same unit.
        at_least, at_most: bounds of the value.
        max_times: bound of the value as a multiple of the floor.
        max_over: bound of the value's distance from the floor.
    """

    benchmark: str
    name: str
    value: float
    unit: str
    floor: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    max_times: float | None = None
    max_over: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the floor."""
        return self.value / self.floor if self.floor else None

    @property
    def bound(self) -> str:
        """The bounds in words; empty without any."""
        parts = [
            (self.at_least, "at least {:,.4g} {}"),
            (self.at_most, "at most {:,.4g} {}"),
            (self.max_times, "at most {:.4g} times the floor"),
            (self.max_over, "at most {:.4g} {} over the floor"),
        ]
        return ", ".join(text.format(bound, self.unit) for bound, text in parts if bound is not None)

    @property
    def holds(self) -> bool | None:
        """Whether the value is within its bounds; None without bounds."""
        floor = self.floor or 0
        kept = [
            self.at_least is None or self.value >= self.at_least,
            self.at_most is None or self.value <= self.at_most,
            self.max_times is None or self.value <= self.max_times * floor,
            self.max_over is None or self.value <= self.max_over + floor,
        ]
        return all(kept) if self.bound else None


class Measured(NamedTuple):
    """A process that has ended.

    Attributes:
        wall_s: from before its start to its end.
        cpu_s: processor time of it and of its children, all cores together.
        peak_mb: its peak memory, together with that of its largest child.
        result: what it reported.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    result: dict[str, Any]


class ProcessFailedError(Exception):
    """A measured process failed; the message has the end of what it printed."""


def measure(module: str, *arguments: object, environment: Mapping[str, str], log: Path) -> Measured:
    """Run a module of this package in its own process; its `main` ends with `report`.

    Args:
        environment: variables besides those of this process.
        log: file for what the process prints to its standard error.

    Raises:
        ProcessFailedError: it failed.
    """
    command = [sys.executable, "-m", f"{__package__}.{module}", *map(str, arguments)]
    # Compiled modules are kept, as in an installation, whatever the developer's environment says.
    variables = {**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": ""}
    os.sync()  # so that earlier writes don't slow down the measured process
    with log.open("wb") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ProcessFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    reported = json.loads(printed.splitlines()[-1])
    return Measured(wall, usage.ru_utime + usage.ru_stime, reported["peak_mb"], reported["result"])


def report(result: Mapping[str, Any]) -> None:
    """Report the result and the peak memory to the process that measures this one."""
    # Not `ru_maxrss`, which includes the memory that the parent had at the fork.
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_kb = int(lines["VmHWM"].split()[0]) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"peak_mb": peak_kb / 1024, "result": result}))
