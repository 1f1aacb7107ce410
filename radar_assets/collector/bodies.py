"""Bodies of requests, read and inflated within limits of size, time and total memory.

Their content belongs to the doors.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

Receive = Callable[[], Awaitable[Any]]

MAX_BODY_BYTES = 20_000_000
"""As sent."""
MAX_INFLATED_BYTES = 64_000_000
MAX_PARTS = 1_000_000
"""Commas and line feeds in a body; they bound its size in memory once decoded. 5,000 events of 200 members fit."""
SMALL_BYTES = 256 * 2**10
"""Bodies up to this size, inflated, are read on the event loop; larger ones one at a time, in a thread."""

_FREE_BYTES = 64 * 2**10
"""Not counted against the total, so that small requests never wait for large ones."""
_MAX_HELD_BYTES = 256 * 2**20
_GZIP = b"\x1f\x8b"
_DEFLATE = "deflate"
_MAX_MEMBERS = 16
"""Members of a gzip file; each costs a copy of those that follow."""


class TooLargeError(Exception):
    """A request exceeds a limit; the message names it."""


class BusyError(Exception):
    """Large requests use all the memory reserved for them."""


class SlowError(Exception):
    """A body did not arrive in time."""


class DisconnectedError(Exception):
    """The client disconnected."""


class CorruptError(ValueError):
    """A compressed body is corrupt; the message says how."""


class Bodies:
    """Reads bodies, and tracks the memory of those in progress."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._held_bytes = 0

    @contextmanager
    def held(self) -> Iterator["Body"]:
        """A body to be read; its memory is released when the block ends."""
        body = Body(self._hold)
        try:
            yield body
        finally:
            self._held_bytes -= body.counted_bytes

    def _hold(self, size_bytes: int) -> None:
        if self._held_bytes + size_bytes > _MAX_HELD_BYTES:
            raise BusyError
        self._held_bytes += size_bytes

    async def read(self, body: "Body", receive: Receive, declared_bytes: int) -> bytes:
        """A body as it was sent.

        Args:
            declared_bytes: its `Content-Length`, 0 if unknown.

        Raises:
            TooLargeError, BusyError, SlowError, DisconnectedError: see there.
        """
        if declared_bytes > MAX_BODY_BYTES:
            raise TooLargeError(f"the body has {declared_bytes} bytes, more than {MAX_BODY_BYTES}")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await body.collect(receive)
        except TimeoutError as error:
            raise SlowError from error


class Body:
    """One body while it arrives."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        self._hold = hold
        self.counted_bytes = 0

    async def collect(self, receive: Receive) -> bytes:
        """All parts in one; see `Bodies.read`."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            part = message.get("body", b"")
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise TooLargeError(f"the body has more than {MAX_BODY_BYTES} bytes")
            if size > _FREE_BYTES and (more := size - self.counted_bytes) > 0:
                self._hold(more)
                self.counted_bytes += more
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)


def is_packed(body: bytes, encoding: str) -> bool:
    """Whether a body is compressed. The first bytes decide, since headers may be missing or left behind by a proxy."""
    return body.startswith(_GZIP) or encoding == _DEFLATE


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Inflate a compressed body.

    Raises:
        TooLargeError: it has more than `limit_bytes`; no more than that was inflated.
        CorruptError: the data is corrupt.
    """
    parts, size = [], 0
    try:
        for _ in range(_MAX_MEMBERS):
            inflater = _inflater(body, encoding)
            part = inflater.decompress(body, limit_bytes - size + 1)
            size += len(part)
            if size > limit_bytes:
                raise TooLargeError(f"the inflated body has more than {limit_bytes} bytes")
            if not inflater.eof:
                raise CorruptError("the compressed body ends too early")
            parts.append(part)
            body = inflater.unused_data
            if not body:
                return b"".join(parts)
    except zlib.error as error:
        raise CorruptError(f"the compressed body is corrupt ({error})") from error
    raise CorruptError(f"the compressed body has more than {_MAX_MEMBERS} members")


def _inflater(body: bytes, encoding: str) -> Any:
    if body.startswith(_GZIP):
        return zlib.decompressobj(wbits=31)
    if encoding == _DEFLATE:
        # The name means zlib's format, but some clients send raw deflate.
        return zlib.decompressobj(wbits=15 if int.from_bytes(body[:2]) % 31 == 0 else -15)
    raise CorruptError("the compressed body has trailing data")
