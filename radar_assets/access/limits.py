"""Limits: how many events a project may send, in a second and in a calendar month.

Rates are counted in memory or Redis; monthly quotas in the store, which survives restarts and is shared by all workers.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from sqlalchemy.exc import SQLAlchemyError

from radar_assets.access.keys import Grant
from radar_assets.access.settings import LimitSettings
from radar_assets.store.database import Store
from radar_assets.store.dialects import insert
from radar_assets.store.models import MonthlyUsage

_LOG = logging.getLogger(__name__)

WINDOW_S = 10
"""Rates are counted over this window, so that a batch may hold more than the events of one second."""
REDIS_S = 1.0
"""How long a request waits for Redis before it is accepted uncounted."""
USAGE_S = 2.0
"""How often workers add up their monthly counts; a quota can be exceeded for this long."""


class Limits:
    """The limits of all projects. For one event loop."""

    def __init__(self, settings: LimitSettings, store: Store) -> None:
        self._per_second, self._per_month = settings.events_per_second, settings.events_per_month
        if settings.redis_url:
            patience = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S}
            address = f"async+{settings.redis_url.get_secret_value()}"
            storage = storage_from_string(address, implementation="redispy", wrap_exceptions=True, **patience)
        else:
            storage = storage_from_string("async+memory://")
        self._windows = SlidingWindowCounterRateLimiter(storage)  # pyright: ignore[reportArgumentType]
        self._usage = Usage(store)

    async def retry_after_s(self, grant: Grant, events: int, now: datetime) -> int | None:
        """Count the events of a request, or return the seconds to wait if they exceed a limit."""
        per_second = grant.events_per_second or self._per_second
        per_month = grant.events_per_month or self._per_month
        if per_month and self._usage.of(grant.project_id, now) + events > per_month:
            return math.ceil((_next_month(now) - now).total_seconds())
        if per_second and (wait_s := await self._wait_s(grant.project_id, per_second, events)):
            return wait_s
        self._usage.add(grant.project_id, now, events)
        return None

    @contextmanager
    def giving_back(self, project_id: str, events: int, now: datetime) -> Iterator[None]:
        """Refund counted events to the monthly quota if the block fails, since their sender will retry.

        Args:
            now: as it was when they were counted.
        """
        try:
            yield
        except BaseException:
            self._usage.add(project_id, now, -events)
            raise

    async def _wait_s(self, project_id: str, per_second: int, events: int) -> int | None:
        window = RateLimitItemPerSecond(per_second * WINDOW_S, WINDOW_S)
        try:
            # A batch larger than the window would never be accepted; it takes all of it.
            if await self._windows.hit(window, project_id, cost=min(events, window.amount)):
                return None
            stats = await self._windows.get_window_stats(window, project_id)
        except StorageError as error:
            # Rates only protect against overload: if they can't be counted, events are accepted.
            _LOG.warning("rates are not counted: %s", type(error.storage_error).__name__)
            return None
        return max(1, math.ceil(stats.reset_time - time.time()))

    async def refresh(self) -> None:
        """Add up the monthly counts of all workers; if the store is unavailable, the next call does it."""
        await self._usage.exchange()

    async def keep_fresh(self) -> None:
        """Add up the monthly counts periodically until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(USAGE_S)


class Usage:
    """Events per project in a month: the count of the store, and what this worker counted since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: dict[tuple[str, date], int] = {}
        self._counted: Counter[tuple[str, date]] = Counter()
        self._on_its_way: Counter[tuple[str, date]] = Counter()
        self._exchanging = asyncio.Lock()

    def of(self, project_id: str, now: datetime) -> int:
        """How many events a project has sent in the month of `now`."""
        month = (project_id, _month(now))
        return self._stored.get(month, 0) + self._on_its_way[month] + self._counted[month]

    def add(self, project_id: str, now: datetime, events: int) -> None:
        """Count events; a negative number refunds them."""
        self._counted[project_id, _month(now)] += events

    async def exchange(self) -> None:
        """Add the counts to the store and read the totals of all workers; if that fails, the next call retries.

        It continues if it is cancelled, since it would otherwise be unknown what is stored; the next exchange waits for it.
        """
        await asyncio.shield(self._exchange())

    async def _exchange(self) -> None:
        async with self._exchanging:
            self._on_its_way, self._counted = self._counted, Counter()
            try:
                self._stored = await asyncio.to_thread(_exchange, self._store, self._on_its_way)
            except SQLAlchemyError as error:
                _LOG.warning("usage is not stored yet: %s", type(error).__name__)
                self._counted.update(self._on_its_way)
            self._on_its_way = Counter()


def _exchange(store: Store, counted: Counter[tuple[str, date]]) -> dict[tuple[str, date], int]:
    # Refunds of events that are already stored are subtracted, so counts can be negative.
    rows = [
        {"project_id": id, "month": month, "events": events}
        for (id, month), events in sorted(counted.items())
        if events
    ]
    if rows:
        with store.session() as session:
            added = insert(session, MonthlyUsage)
            more = MonthlyUsage.events + added.excluded.events
            session.execute(
                added.on_conflict_do_update(index_elements=["project_id", "month"], set_={"events": more}), rows
            )
    latest = sa.select(sa.func.max(MonthlyUsage.month)).scalar_subquery()
    with store.session(read_only=True) as session:
        rows = session.scalars(sa.select(MonthlyUsage).where(MonthlyUsage.month == latest))
        return {(usage.project_id, usage.month): usage.events for usage in rows}


def _month(now: datetime) -> date:
    return now.date().replace(day=1)


def _next_month(now: datetime) -> datetime:
    return datetime.combine((_month(now) + timedelta(days=31)).replace(day=1), datetime.min.time())
