"""Reloads definitions when there have to be other partitions: they are fixed when definitions load. Data may be older, and a new time
zone may have days that begin earlier."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dagster._core.workspace.context import WorkspaceProcessContext

from radar_assets.home import HomeSettings
from radar_assets.orchestration.grids import load_grids

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10


@contextmanager
def reloading(settings: HomeSettings, workspace: WorkspaceProcessContext) -> Iterator[None]:
    """Reload the code locations of the UI each time the partition grids of the home change, until the block ends.

    The daemon, which uses the same code servers, sees the new partitions within a minute.
    """
    stopped = threading.Event()

    def look() -> None:
        known = load_grids(settings)
        while not stopped.wait(LOOK_EVERY_S):
            try:
                if (found := load_grids(settings)) != known:
                    workspace.reload_workspace()
                    known = found
            except Exception:
                logger.exception("The definitions could not be reloaded; trying again")

    thread = threading.Thread(target=look, name="reload", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=LOOK_EVERY_S)
