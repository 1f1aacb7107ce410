"""Processes: ports and sessions, and processes that do the same thing at the same moment, for tests of race conditions."""

import multiprocessing
import socket
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

PRELOADED = [
    "alembic.command",
    "pyiceberg.catalog.sql",
    "radar_assets.orchestration.runtime.instance",
    "radar_assets.lakehouse.catalog",
]
PATIENCE_S = 120


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def members(session: int) -> list[int]:
    """The running processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def run_at_once(function: Callable[..., None], *arguments: object, processes: int = 4) -> None:
    """Run `function(rank, *arguments)` in several processes, released together. Fails if one of them fails or hangs.

    The function must be at the top level of a module. It does not see the environment of the test.
    """
    # Forked from one clean process with all imports, so that they start quickly and close together.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    barrier = context.Barrier(processes)
    running = [
        context.Process(target=_released, args=(barrier, function, rank, *arguments)) for rank in range(processes)
    ]
    for process in running:
        process.start()
    deadline = time.monotonic() + PATIENCE_S
    for process in running:
        process.join(max(0, deadline - time.monotonic()))
        process.kill()
    assert [process.exitcode for process in running] == [0] * processes


def _released(barrier: Barrier, function: Callable[..., None], *arguments: object) -> None:
    barrier.wait(PATIENCE_S)
    function(*arguments)
