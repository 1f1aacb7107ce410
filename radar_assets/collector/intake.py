"""The steps of a request, whatever its door: read the body, find the key, count against limits, make the lines durable.

HTTP belongs to `app.py`, and protocols to their doors.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec

from radar_assets.access.keys import KeyRing, KeysError, key_problem
from radar_assets.access.limits import Limits
from radar_assets.collector.addresses import Kept
from radar_assets.collector.bodies import (
    MAX_INFLATED_BYTES,
    MAX_PARTS,
    SMALL_BYTES,
    BusyError,
    CorruptError,
    TooLargeError,
    inflate,
    is_packed,
)
from radar_assets.collector.door import (
    MAX_EVENTS,
    Batch,
    Door,
    ForeignRequestError,
    MalformedRequestError,
    Outcome,
    Request,
)
from radar_assets.collector.journal import Journal, JournalError
from radar_assets.collector.lines import encode_lines
from radar_assets.collector.repairs import as_utf8, repair, set_apart
from radar_assets.collector.settings import CollectorSettings
from radar_assets.collector.telemetry import Telemetry
from radar_assets.collector.unknown_paths import OTHER, hint, product_of
from radar_assets.origins import Origin, origin_of_url, parse_origin

MAX_LARGE_WAITING = 32
"""Large bodies that may wait for their turn. Each can take most of a second, and senders need no valid key."""
SMALL_LINES_BYTES = 4 * SMALL_BYTES
"""Lines of a small body are encoded on the event loop up to this size; members that its events share can make them larger."""
RETRY_S = 5
"""`Retry-After` while nothing can be made durable."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a request, and details for its sender."""

    outcome: Outcome
    detail: str = ""
    events: int = 0
    retry_after_s: int | None = None


class _Lines(NamedTuple):
    """The lines of a request, the number of its events, and the report on them if its door makes one."""

    text: bytes
    events: int
    project_id: str
    report: str


class Intake:
    """Accepts requests, for one worker."""

    def __init__(
        self, settings: CollectorSettings, keys: KeyRing, limits: Limits, journal: Journal, telemetry: Telemetry
    ) -> None:
        self._settings, self._keys, self._limits = settings, keys, limits
        self._journal, self._telemetry = journal, telemetry
        self._beside = ThreadPoolExecutor(1, "large-bodies")
        self._large = asyncio.Semaphore(1)
        self._large_waiting = 0

    async def take(self, door: Door, request: Request, sent: bytes) -> Verdict:
        """Store the events of a request. If the outcome is `ACCEPTED`, all of them are durable.

        Args:
            request: without its body.
            sent: the body as it was sent.
        """
        try:
            taken = await self._understand(door, request, sent)
            return taken if isinstance(taken, Verdict) else await self._keep(door, request, taken)
        except TooLargeError as error:
            return Verdict(Outcome.TOO_LARGE, str(error))
        except ForeignRequestError as error:
            product = product_of(request.path, request.headers)
            if product == OTHER:
                return Verdict(Outcome.MALFORMED, str(error))
            self._telemetry.path_unknown(product)
            return Verdict(Outcome.MALFORMED, f"{error}.{hint(product)}")
        except (MalformedRequestError, CorruptError) as error:
            return Verdict(Outcome.MALFORMED, str(error))
        except KeysError as error:
            return Verdict(Outcome.UNAVAILABLE, str(error), retry_after_s=RETRY_S)
        except Exception as error:
            self._telemetry.failed(door.name, error)
            return Verdict(Outcome.UNAVAILABLE, "the collector failed unexpectedly", retry_after_s=RETRY_S)

    async def _understand(self, door: Door, request: Request, sent: bytes) -> "Verdict | _Lines":
        encoding = request.headers.get("content-encoding", "").strip().lower()
        packed = is_packed(sent, encoding)
        small = _inflated_if_small(sent, encoding) if packed else sent
        is_small = small is not None and len(small) <= SMALL_BYTES

        async def read() -> Batch:
            if small is not None and is_small:
                return read_batch(door, replace(request, body=small))
            return await self._read_large(door, request, sent, encoding)

        try:
            batch = await read()
            if batch.key is not None and self._keys.known(batch.key) is None:
                # Reading the keys again takes a while, and anyone can cause it: don't hold the batch meanwhile. It is read again
                # because ids of cookieless visitors depend on the time zone of the project.
                key, count = batch.key, len(batch.events)
                del batch
                if await self._keys.find(key, "write") is None:
                    return Verdict(Outcome.UNAUTHORIZED, key_problem(key, "write"), count)
                batch = await read()
        except BusyError:
            return Verdict(Outcome.UNAVAILABLE, "too many large requests at once", retry_after_s=1)
        return await self._lines(door, request, batch, is_small=is_small)

    async def _read_large(self, door: Door, request: Request, sent: bytes, encoding: str) -> Batch:
        """Read a large body when it is its turn.

        Raises:
            BusyError: too many large bodies are waiting.
        """
        if self._large_waiting >= MAX_LARGE_WAITING:
            raise BusyError
        self._large_waiting += 1
        try:
            async with self._large:
                body = sent
                if is_packed(sent, encoding):
                    body = await self._in_thread(inflate, sent, encoding, MAX_INFLATED_BYTES)
                return await self._in_thread(read_batch, door, replace(request, body=body))
        finally:
            self._large_waiting -= 1

    async def _lines(self, door: Door, request: Request, batch: Batch, *, is_small: bool) -> "Verdict | _Lines":
        events = batch.events
        if batch.key is None:
            return Verdict(Outcome.UNAUTHORIZED, key_problem(None, "write")) if events else Verdict(Outcome.ACCEPTED)
        grant = await self._keys.find(batch.key, "write")
        if grant is None:
            return Verdict(Outcome.UNAUTHORIZED, key_problem(batch.key, "write"), len(events))
        if not grant.admits(sending_origin(request)):
            return Verdict(Outcome.UNAUTHORIZED, "the write key is not for this origin", len(events))
        if not events:
            return Verdict(Outcome.ACCEPTED)
        if self._settings.respect_do_not_track and asks_not_to_be_tracked(request.headers):
            self._telemetry.dropped.labels(door.name, "do_not_track").inc(len(events))
            return Verdict(Outcome.ACCEPTED)
        wait_s = await self._limits.retry_after_s(grant, len(events), request.received_at)
        if wait_s is not None:
            self._telemetry.dropped.labels(door.name, "limited").inc(len(events))
            return Verdict(Outcome.LIMITED, "over the project's rate or monthly quota", len(events), wait_s)
        kept = self._settings.client_address
        encode = partial(
            _encode,
            *(batch, grant.project_id, door.name, request.received_at, kept, self._settings.start_date),
            on_failure=partial(self._telemetry.failed, door.name),
        )
        with self._limits.giving_back(grant.project_id, len(events), request.received_at):
            return await self._encoded(encode, is_small=is_small)

    async def _encoded(self, encode: Callable[..., _Lines], *, is_small: bool) -> _Lines:
        if is_small:
            with suppress(TooLargeError):
                return encode(limit_bytes=SMALL_LINES_BYTES)
        # One thread does this in order, so these lines are encoded before the next body is read.
        return await self._in_thread(encode)

    async def _keep(self, door: Door, request: Request, lines: "_Lines") -> Verdict:
        began = time.perf_counter()
        try:
            with self._limits.giving_back(lines.project_id, lines.events, request.received_at):
                await self._journal.append(lines.text, request.received_at)
        except JournalError:
            return Verdict(Outcome.UNAVAILABLE, "nothing can be stored right now", lines.events, RETRY_S)
        self._telemetry.journal_seconds.observe(time.perf_counter() - began)
        self._telemetry.events.labels(door.name).inc(lines.events)
        return Verdict(Outcome.ACCEPTED, lines.report, lines.events)

    async def _in_thread(self, work: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._beside, work, *arguments)

    def close(self) -> None:
        """End the thread for large bodies."""
        self._beside.shutdown()


def _inflated_if_small(body: bytes, encoding: str) -> bytes | None:
    try:
        return inflate(body, encoding, SMALL_BYTES)
    except TooLargeError:
        return None


def read_batch(door: Door, request: Request) -> Batch:
    """The batch of a request. If the body can't be read, defects are repaired, and then set apart, and it is read again."""
    if len(request.body) > SMALL_BYTES and request.body.count(b",") + request.body.count(b"\n") > MAX_PARTS:
        raise TooLargeError(f"the body has more than {MAX_PARTS} values and lines")
    body = as_utf8(request.body)
    try:
        batch = _read_once(door, request if body is request.body else replace(request, body=body))
    except MalformedRequestError as error:
        batch = _read_repaired(door, replace(request, body=body), error)
    if len(batch.events) > MAX_EVENTS:
        raise TooLargeError(f"the request has more than {MAX_EVENTS} events")
    return batch


def _read_repaired(door: Door, request: Request, error: MalformedRequestError) -> Batch:
    body = request.body
    for mend in (repair, set_apart):
        mended = mend(body)
        if mended != body:
            body = mended
            try:
                return _read_once(door, replace(request, body=body))
            except MalformedRequestError as another:
                error = another
    raise error


def _read_once(door: Door, request: Request) -> Batch:
    try:
        return door.read(request)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedRequestError(f"the body can't be read: {error}") from error
    except RecursionError as error:
        raise MalformedRequestError("the body is nested too deeply") from error


def _encode(
    batch: Batch, project_id: str, protocol: str, received_at: datetime, kept: Kept, start_date: date, **options: Any
) -> _Lines:
    """The lines of a batch, with the options of `encode_lines`."""
    text = encode_lines(batch.events, project_id, protocol, received_at, kept, **options)
    report = batch.report(batch.events, text, received_at, start_date) if batch.report else ""
    return _Lines(text, len(batch.events), project_id, report)


def sending_origin(request: Request) -> Origin | None:
    """The web origin of the page that sent a request; requests for images have no `Origin`, but name their page."""
    if origin := request.headers.get("origin"):
        return parse_origin(origin)
    return origin_of_url(request.headers.get("referer", ""))


def asks_not_to_be_tracked(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends Do Not Track or Global Privacy Control. Names of headers are in lower case."""
    return headers.get("dnt") == "1" or headers.get("sec-gpc") == "1"
