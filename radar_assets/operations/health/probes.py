"""Health checks of components: each tries what its component is for, within a time limit, while the others go on.

What is tried of which component is in `storage.py`, `network.py` and `scheduling.py`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from radar_assets.masking import masked
from radar_assets.windows import utc_now

TIMEOUT_S = 10.0
"""Time limit of a check, unless it has its own."""
MAX_DETAIL = 500

T = TypeVar("T")


class Unhealthy(Exception):  # noqa: N818 - it is a finding, not a failure of the check
    """A component doesn't do what it is for. The message says what is wrong, and what to do.

    Attributes:
        free_bytes: as of `Found`.
    """

    def __init__(self, reason: str, free_bytes: int | None = None) -> None:
        super().__init__(reason)
        self.free_bytes = free_bytes


@dataclass(frozen=True)
class Found:
    """What a check found of a healthy component.

    Attributes:
        free_bytes: of a disk.
    """

    detail: str = ""
    free_bytes: int | None = None


@dataclass(frozen=True)
class Probe:
    """A health check.

    Attributes:
        component: what it checks, such as `database`.
        check: raises `Unhealthy`, or any other exception, unless the component is healthy.
    """

    component: str
    check: Callable[[], Found]
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Result:
    """The result of a check; attributes as of `store.models.HealthResult`."""

    component: str
    checked_at: datetime
    ok: bool
    latency_ms: float
    detail: str
    free_bytes: int | None = None


def run_probes(probes: Sequence[Probe]) -> list[Result]:
    """Run all checks at the same time. One that doesn't end in time fails, and goes on in a thread that nothing waits for."""
    running = [_Running(probe) for probe in probes]
    return [each.result() for each in running]


def within(timeout_s: float, read: Callable[[], T], otherwise: T) -> T:
    """What a function returns, or something else if it fails or takes too long. The check of what it reads says why."""
    found: list[T] = []
    run_probes([Probe("", lambda: Found(str(found.append(read()))), timeout_s)])
    return found[0] if found else otherwise


class _Running:
    """A check that is under way."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self._result = probe, None
        self._checked_at, self._began = utc_now(), time.monotonic()
        # Not a pool: the process would wait for its threads when it exits.
        self._thread = threading.Thread(target=self._run, name=f"health {probe.component}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            found = self._probe.check()
        except Unhealthy as error:
            self._result = self._of(str(error), ok=False, free_bytes=error.free_bytes)
        except Exception as error:
            self._result = self._of(f"{type(error).__name__}: {error}", ok=False)
        else:
            self._result = self._of(found.detail, ok=True, free_bytes=found.free_bytes)

    def result(self) -> Result:
        """Wait for the result, at most until the time limit."""
        self._thread.join(max(0.0, self._began + self._probe.timeout_s - time.monotonic()))
        return self._result or self._of(f"no answer within {self._probe.timeout_s:g} s", ok=False)

    def _of(self, detail: str, *, ok: bool, free_bytes: int | None = None) -> Result:
        took = (time.monotonic() - self._began) * 1000
        shown = " ".join(map(masked, detail.split()))  # a URL is masked by itself
        shown = shown if len(shown) <= MAX_DETAIL else f"{shown[: MAX_DETAIL - 1]}…"
        return Result(self._probe.component, self._checked_at, ok, round(took, 1), shown, free_bytes)
