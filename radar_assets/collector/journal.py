"""The journal: it acknowledges lines once they are durable. Requests that arrive together share one `fdatasync`.

Grouping and acknowledging belong here; writing to disk belongs to `open_segments.py`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from radar_assets.collector.settings import CollectorSettings

_LOG = logging.getLogger(__name__)

MAX_WAITING_BYTES = 128 * 2**20
"""Maximum lines that wait for a stalled disk; more are refused, so that memory stays bounded."""


class JournalError(Exception):
    """Lines could not be made durable: the disk is full, the store unavailable or the journal closed. None is acknowledged."""


class Segments(Protocol):
    """Storage of a journal's lines. Its methods block and are called from one thread at a time."""

    def append(self, hour: datetime, lines: bytes) -> None:
        """Make lines of a received hour durable: all of them or, if an `OSError` is raised, none."""
        ...

    def seconds_to_roll(self) -> float | None:
        """How long until a segment has to roll, `None` while none is open; cheap, and called from any thread."""
        ...

    def roll(self) -> None:
        """Publish the segments that are due, or raise and try again later."""
        ...

    def close(self) -> None:
        """Publish all segments."""
        ...


@dataclass(slots=True)
class _Waiting:
    """Lines of one request, and the future that it awaits."""

    lines: bytes
    hour: datetime
    durable: "asyncio.Future[None]"


class Journal:
    """Makes lines durable, group by group; opened and closed by `async with`, on one event loop.

    Args:
        delay_s: how long a group waits for more requests before it is written, at most 0.02. While a group is being written, the
            next one gathers anyway.

    Attributes:
        failure: why the last group failed; `None` if it succeeded.
        on_durable: called with the size in bytes of each group that is durable.
    """

    def __init__(self, segments: Segments, *, delay_s: float = 0.0) -> None:
        self.failure: str | None = None
        self.on_durable: Callable[[int], None] = _ignore
        self._segments, self._delay_s = segments, delay_s
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._arrival = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "journal")

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(self, lines: bytes, received_at: datetime) -> None:
        """Return once the lines are durable.

        Args:
            lines: whole lines, each with its line feed, all received in the same hour.
            received_at: naive, UTC.

        Raises:
            JournalError: the lines are not durable.
        """
        if self._closing:
            raise JournalError("the collector is stopping")
        if self._waiting_bytes > MAX_WAITING_BYTES:
            raise JournalError("the disk is too slow")
        hour = received_at.replace(minute=0, second=0, microsecond=0)
        waiting = _Waiting(lines, hour, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += len(lines)
        self._arrival.set()
        await waiting.durable

    async def close(self) -> None:
        """Refuse new lines, make the waiting ones durable, and publish all segments."""
        self._closing = True
        self._arrival.set()
        await self._writer
        await self._publish(self._segments.close)
        self._thread.shutdown()

    async def _write(self) -> None:
        while self._waiting or not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._segments.seconds_to_roll()):
                    await self._arrival.wait()
            self._arrival.clear()
            if self._waiting:
                if self._delay_s and not self._closing:
                    await asyncio.sleep(self._delay_s)
                await self._commit()
            due_in = self._segments.seconds_to_roll()
            if due_in is not None and due_in <= 0:
                await self._publish(self._segments.roll)

    async def _publish(self, work: Callable[[], None]) -> None:
        try:
            await self._in_thread(work)
        except Exception:
            _LOG.exception("segments could not be published; their lines are durable and are published later")

    async def _commit(self) -> None:
        hours: defaultdict[datetime, list[_Waiting]] = defaultdict(list)
        for waiting in self._waiting:
            hours[waiting.hour].append(waiting)
        self._waiting = []
        for hour, group in hours.items():
            lines = b"".join(waiting.lines for waiting in group)
            try:
                await self._in_thread(self._segments.append, hour, lines)
            except Exception as error:
                # Any error: no request may wait forever, and the next group may succeed.
                if self.failure is None:
                    _LOG.exception("nothing can be made durable; requests are refused until that works again")
                self.failure = str(error)
                _answer(group, JournalError(self.failure))
            else:
                if self.failure is not None:
                    _LOG.warning("lines are durable again")
                self.failure = None
                _answer(group)
                self.on_durable(len(lines))
            self._waiting_bytes -= len(lines)

    async def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def open_journal(settings: "CollectorSettings") -> Journal:
    """The journal of one worker, over the landing zone of the settings; segments that dead workers left open are published.

    Raises:
        OSError: the landing zone can't be written to.
    """
    from radar_assets.collector.object_segments import ObjectSegments
    from radar_assets.collector.open_segments import OpenSegments
    from radar_assets.object_store import ObjectPath

    landing = settings.landing_zone
    if isinstance(landing, ObjectPath):
        segments = ObjectSegments(landing)
    else:
        max_bytes = settings.segment_mb * 2**20
        segments = OpenSegments(landing, max_bytes=max_bytes, max_age_s=settings.segment_age_s)
    return Journal(segments, delay_s=settings.collector_delay_ms / 1000)


def _ignore(_: int) -> None:
    pass


def _answer(group: list[_Waiting], failure: JournalError | None = None) -> None:
    for waiting in group:
        # The client has disconnected.
        if waiting.durable.done():
            continue
        if failure:
            waiting.durable.set_exception(failure)
        else:
            waiting.durable.set_result(None)
