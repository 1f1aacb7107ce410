"""The resources of one worker process, opened in order and closed in reverse."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from radar_assets.access.keys import KeyRing
from radar_assets.access.limits import Limits
from radar_assets.collector.bodies import Bodies
from radar_assets.collector.intake import Intake
from radar_assets.collector.journal import Journal, open_journal
from radar_assets.collector.live import Live
from radar_assets.collector.recent import Recent
from radar_assets.collector.salts import Salts
from radar_assets.collector.settings import CollectorSettings
from radar_assets.collector.telemetry import Telemetry
from radar_assets.events.declarations import Declarations, nothing_declared
from radar_assets.store.database import Store, open_store

_LOG = logging.getLogger(__name__)

PROBE_S = 5.0
"""How long after a failure of the journal requests are accepted again: only they show whether it works."""


class Worker:
    """The parts of a worker."""

    def __init__(
        self, settings: CollectorSettings, store: Store, journal: Journal, declared: Callable[[], Declarations]
    ) -> None:
        self.settings = settings
        self.keys, self.limits = KeyRing(store), Limits(settings, store)
        self.salts = Salts(store, self.keys)
        self.telemetry = Telemetry()
        self.bodies = Bodies(settings.body_timeout_s)
        self.intake = Intake(settings, self.keys, self.limits, journal, self.telemetry)
        self.live = Live(settings.landing_zone, declared, pause_s=0.001)
        # In its own thread, since the first read may take seconds, and concurrent requests wait for it.
        self.live_thread = ThreadPoolExecutor(1, "live")
        self.recent = _recent(settings.home / "recent-senders")
        self._journal = journal
        journal.on_durable = self.telemetry.stored
        self._refused_at = float("-inf")

    def refused(self) -> None:
        """Record that a request was refused for reasons of the collector."""
        self._refused_at = time.monotonic()

    def problem(self) -> str | None:
        """Why the worker is not ready, after the component that fails, by its name in health; `None` if it is ready."""
        if self._journal.failure and time.monotonic() - self._refused_at < PROBE_S:
            return "landing zone: nothing can be stored at present"
        return f"database: {self.keys.failure}" if self.keys.failure else None


@asynccontextmanager
async def open_worker(
    settings: CollectorSettings, declared: Callable[[], Declarations] = nothing_declared
) -> AsyncIterator[Worker]:
    """A worker that is ready for requests. When the block ends, all lines are durable and published.

    Args:
        declared: returns what the team declares at present.

    Raises:
        StoreError: the operational store can't be used.
        OSError: the landing zone can't be written to.
    """
    async with AsyncExitStack() as stack:
        store = open_store(settings.database)
        stack.callback(store.close)
        worker = Worker(settings, store, await stack.enter_async_context(open_journal(settings)), declared)
        if worker.recent:
            stack.callback(worker.recent.close)
        stack.callback(worker.intake.close)
        stack.callback(worker.live_thread.shutdown)
        await worker.keys.refresh()
        # Before the first request, which would otherwise hash visitors with a salt no other worker has.
        await worker.salts.refresh()
        # At the start, so that an exhausted quota holds after a restart; at the end, to store the last counts.
        await worker.limits.refresh()
        stack.push_async_callback(worker.limits.refresh)
        for part in (worker.keys, worker.limits, worker.salts):
            stack.push_async_callback(_cancel, asyncio.create_task(part.keep_fresh()))
        yield worker


def _recent(path: Path) -> Recent | None:
    try:
        return Recent(path)
    except OSError as error:
        _LOG.warning("%s can't be opened, so copies of requests without id are counted: %s", path, error.strerror)
        return None


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
