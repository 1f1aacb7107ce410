"""Uvicorn's HTTP protocol with limits on connections and request heads, which it lacks. Limits on bodies are in `bodies.py`."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 2**10
"""Request line and headers, trailers included. A GET may carry a whole event in its URL."""
MAX_HEADERS = 200
"""Maximum headers of a request. Each takes far more memory than its bytes."""
HEAD_S = 30.0
MAX_CONNECTIONS = 5_000
"""Maximum per worker. A slow client can hold about 200 KiB of head and body, so this is one gigabyte in all."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _waiting: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`; a request has to follow in time. Connections over the maximum get a 503."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request starts."""
        self._in_head, self._head_bytes, self._trailer_bytes = True, 0, 0
        self._expect_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body, which the parser takes for one."""
        if not self._in_head:
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > MAX_HEAD_BYTES:
                raise ValueError("the trailers are too large")
            return
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("there are too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(HEAD_S, self._end)

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
