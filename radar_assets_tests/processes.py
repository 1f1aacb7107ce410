"""Real processes that do the same thing at the same moment, for tests of what must not race."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier

PRELOADED = [
    "alembic.command",
    "pyiceberg.catalog.sql",
    "radar_assets.lakehouse.catalog",
    "radar_assets.store.database",
]


def run_at_once(function: Callable[..., None], *arguments: object, processes: int = 4) -> None:
    """Run `function(rank, *arguments)` in several processes, released together; fails when one of them does.

    The function has to be one of a module. It does not see the environment of the test.
    """
    # Forked from one clean process that has the imports done, so that they start close together and cheaply.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    barrier = context.Barrier(processes)
    running = [
        context.Process(target=_released, args=(barrier, function, rank, *arguments)) for rank in range(processes)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * processes


def _released(barrier: Barrier, function: Callable[..., None], *arguments: object) -> None:
    barrier.wait(timeout=60)
    function(*arguments)
