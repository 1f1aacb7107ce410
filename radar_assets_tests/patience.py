"""For tests on machines that are slow or stall: wait for conditions rather than for a while, and repeat what a stall disturbed."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

PATIENCE_S = 90

Result = TypeVar("Result")


def eventually(find: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait for a result and return it."""
    until = time.monotonic() + patience_s
    while not (found := find()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def undisturbed(attempt: Callable[[], Result], attempts: int = 4) -> Result:
    """Try until an attempt succeeds and return its result; the last failure is raised.

    For short time limits, which any code exceeds if the machine stalls at that moment. Slow code exceeds them every time.
    """
    for _ in range(attempts - 1):
        try:
            return attempt()
        except (Exception, pytest.fail.Exception):
            continue
    return attempt()
