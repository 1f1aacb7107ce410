"""Bodies of requests, read and inflated within bounds: of size, of time, and of what all of them hold in memory together.

What a body says is for its door.
"""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

Receive = Callable[[], Awaitable[Any]]

MAX_BODY_BYTES = 20_000_000
"""As sent."""
MAX_INFLATED_BYTES = 64_000_000
MAX_PARTS = 1_000_000
"""Commas and line feeds in a body: what it unfolds to in memory is bounded by them, whatever a door makes of it. 5,000 events of 200
members fit."""
SMALL_BYTES = 256 * 2**10
"""Bodies up to this size, inflated, are read where they are; larger ones one at a time and beside the event loop."""

_FREE_BYTES = 64 * 2**10
"""What a body may hold without asking: nobody's small request waits for others' large ones."""
_MAX_HELD_BYTES = 256 * 2**20
_GZIP = b"\x1f\x8b"
_DEFLATE = "deflate"
_MAX_MEMBERS = 16
"""Of a gzip file, which may be several in a row; each costs a copy of those that follow."""


class TooLargeError(Exception):
    """A request is over a bound; the message names it."""


class BusyError(Exception):
    """Large requests hold all the memory that there is for them."""


class SlowError(Exception):
    """A body did not arrive in time."""


class DisconnectedError(Exception):
    """The sender is gone."""


class CorruptError(ValueError):
    """A body is not packed as it says; the message says how."""


class Bodies:
    """Reads bodies, and knows what those that are being read and worked upon hold."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._held_bytes = 0

    @contextmanager
    def held(self) -> Iterator["Body"]:
        """A body to be read; what it holds is given back when the block ends."""
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
    """Whether a body has to be inflated. Its first bytes tell: header and query parameter may be missing, or left by a proxy."""
    return body.startswith(_GZIP) or encoding == _DEFLATE


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A packed body, inflated.

    Raises:
        TooLargeError: that is more than `limit_bytes`; no more than those were inflated.
        CorruptError: the data is not what it should be.
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
                raise CorruptError("the packed body ends too early")
            parts.append(part)
            body = inflater.unused_data
            if not body:
                return b"".join(parts)
    except zlib.error as error:
        raise CorruptError(f"the packed body is corrupt ({error})") from error
    raise CorruptError(f"the packed body has more than {_MAX_MEMBERS} members")


def _inflater(body: bytes, encoding: str) -> Any:
    if body.startswith(_GZIP):
        return zlib.decompressobj(wbits=31)
    if encoding == _DEFLATE:
        # Named after zlib's format, and sent without its frame by some.
        return zlib.decompressobj(wbits=15 if int.from_bytes(body[:2]) % 31 == 0 else -15)
    raise CorruptError("something follows the packed body")


_ESCAPES = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


_CONSTANTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(-?(?:NaN|Infinity))', re.DOTALL)
"""Those that are no JSON; strings are found to be passed over, and one without an end too, or each quote in it would be tried."""


def mend(body: bytes) -> bytes:
    """JSON without what senders are known to write and no strict reader takes: the whole batch would be lost."""
    return mend_depth(mend_constants(mend_surrogates(body)))


_MAX_DEPTH = 100
"""More than the contract lets an event have, so that it rejects those that are mended."""
_BRACKETS = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?)*+([\[{]++|[\]}]++|\Z)', re.DOTALL)
"""A run of opening or closing brackets and the text before it. It also finds the end, or the search would start anew at each byte."""


def mend_depth(body: bytes) -> bytes:
    """JSON with the text of each value that is nested too deep in its place: decoders refuse the whole body for it."""
    if not _MAX_DEPTH < body.count(b"[") + body.count(b"{") <= MAX_PARTS:
        return body
    parts, kept_to, depth, cut = [], 0, 0, None
    for found in _BRACKETS.finditer(body):
        start, end = found.span(1)
        if body[start:end].startswith((b"[", b"{")):
            depth += end - start
            if cut is None and depth > _MAX_DEPTH:
                cut = end - (depth - _MAX_DEPTH)
        else:
            depth -= end - start
            if cut is not None and depth <= _MAX_DEPTH:
                stop = end - (_MAX_DEPTH - depth)
                parts += [body[kept_to:cut], msgspec.json.encode(body[cut:stop].decode(errors="replace"))]
                kept_to, cut = stop, None
    return b"".join([*parts, body[kept_to:]])


def mend_constants(body: bytes) -> bytes:
    """JSON with null in the place of NaN and infinities, which Python writes bare where a number is none."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _CONSTANTS.sub(lambda found: b"null" if found[1] else found[0], body)


def mend_surrogates(body: bytes) -> bytes:
    """JSON with U+FFFD in the place of each escaped half of a surrogate pair.

    Browsers escape one where a script cut an emoji in two.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found[2] else found[0], body)
