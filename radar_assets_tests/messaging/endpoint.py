"""HTTP endpoints in the test's process, which record requests and can misbehave."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Endpoint:
    """The received requests, and the responses.

    Attributes:
        answers: statuses (with `Retry-After`, if any) of the next requests; 200 once they are used up.
        received: for each request the message's id and body, in order.
        headers: of each request, with names in lower case.
        is_hanging: requests get no response; their connections are closed once this ends.
        delay_s: how long other requests wait for their response.
    """

    url: str
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    is_hanging: bool = False
    delay_s: float = 0

    @property
    def ids(self) -> list[str]:
        """Ids of the messages, in order of arrival."""
        return [id for id, _ in self.received]


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    endpoint: Endpoint
    ended: threading.Event


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        endpoint = self.server.endpoint
        endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
        endpoint.received.append((str(self.headers["webhook-id"]), json.loads(body)))
        if endpoint.is_hanging:
            while endpoint.is_hanging and not self.server.ended.wait(0.05):
                pass
            return
        time.sleep(endpoint.delay_s)
        status, retry_after = endpoint.answers.pop(0) if endpoint.answers else (200, None)
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def endpoint(**fields: Any) -> Iterator[Endpoint]:
    """An endpoint on its own port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.ended = True, threading.Event()
    server.endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/", **fields)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.endpoint
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
