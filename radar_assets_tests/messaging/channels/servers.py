"""Destinations for tests: HTTP servers with configurable, also invalid, responses, and a resolver."""

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from radar_assets.alerts.notices import KIND, Notice
from radar_assets.alerts.rendering import History, render
from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.message import Draft, Message

NOON = datetime(2026, 5, 12, 12)
KEY = "whsec_" + "c2lnbmluZ2tleXNpZ25pbmdrZXlzaWdu"
GETADDRINFO = socket.getaddrinfo


def notice(**fields: Any) -> Notice:
    """A notice of checkout errors of a shop, unless fields say otherwise."""
    return Notice(
        **{
            "reason": "fired",
            "alert_id": "0b54e0c4-9b1f-4d0c-8a59-59dc1d7a2f10",
            "rule": "checkout_errors_high",
            "description": "Errors at checkout cost us orders.",
            "kind": "threshold",
            "severity": "critical",
            "project_id": "shop",
            "project_name": "Shop",
            "metric": "error_rate",
            "metric_title": "Error rate",
            "unit": "ratio",
            "started_at": NOON,
            "window_start": NOON + timedelta(hours=2),
            "window_end": NOON + timedelta(hours=3),
            "value": 0.1243,
            "threshold": 0.05,
            "usual": (0.011, 0.023),
            "check_url": "https://radar.example/assets/hourly_metrics?view=checks&checkDetail=checkout_errors_high",
            **fields,
        }
    )


def message(*notices: Notice, id: str = "4f6c", history: History = lambda _: ()) -> Message:
    """The message about alerts, by default about one."""
    contents = [one.model_dump(mode="json") for one in notices or (notice(),)]
    return render(Draft(id, KIND, contents, NOON), history)


def send(channel: ChannelSpec, message: Message, transport: Transport) -> None:
    """Send a message to a channel."""
    channel.send(message, transport)


@dataclass
class Request:
    """A request that a server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[socket.socket], None]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """A valid response."""
    lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return lambda connection: connection.sendall(head + body)


def hang(connection: socket.socket) -> None:
    """Send nothing until the client disconnects."""
    connection.recv(1)


def drop(connection: socket.socket) -> None:
    """Close the connection without a response."""


def drip(start: bytes) -> Answer:
    """Start a response, then send single bytes slowly, forever."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            time.sleep(0.02)
            connection.sendall(b"x")

    return answer


def large(code: int) -> Answer:
    """A response of 130 MB. The attribute `sent` of the function is the number of bytes that the client took."""
    part = b"x" * (1 << 20)

    def answer(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {code} Whatever\r\nContent-Length: {130 << 20}\r\n\r\n".encode())
        for _ in range(130):
            connection.sendall(part)
            answer.sent += len(part)  # pyright: ignore[reportFunctionMemberAccess]

    answer.sent = 0  # pyright: ignore[reportFunctionMemberAccess]
    return answer


@dataclass
class Server:
    """A server on loopback.

    Attributes:
        answers: one response per request; the last one also for all further requests.
    """

    port: int
    answers: list[Answer] = field(default_factory=lambda: [status(204)])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def answer(self, *answers: Answer) -> None:
        """Use this response from now on."""
        self.answers[:] = answers


@contextmanager
def serving(tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1") -> Iterator[Server]:
    """A running server, with TLS if a context is given."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            server.connections += 1
            connection = self.request
            with suppress(OSError, ssl.SSLError):
                if tls:
                    connection = tls.wrap_socket(connection, server_side=True)
                request = _read(connection)
                if request is None:
                    return
                server.requests.append(request)
                answer = server.answers[0] if len(server.answers) == 1 else server.answers.pop(0)
                answer(connection)
                connection.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                connection.close()

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Listener((address, 0), Handler) as listener:
        server = Server(listener.server_address[1])
        threading.Thread(target=lambda: listener.serve_forever(0.02), daemon=True).start()
        yield server
        listener.shutdown()


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


@dataclass
class Resolver:
    """Resolves only the names that a test adds. Literal addresses are resolved as usual.

    Attributes:
        hosts: addresses and ports by name. Each lookup takes the next list; the last one stays.
        asked: names that were looked up.
    """

    hosts: dict[str, list[list[tuple[str, int]]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, host: str, *answers: list[tuple[str, int]]) -> None:
        """Add the addresses of a name."""
        self.hosts[host] = list(answers)

    def getaddrinfo(self, host: str, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        """Replaces `socket.getaddrinfo`."""
        if host in self.hosts:
            self.asked.append(host)
            answers = self.hosts[host]
            found = answers.pop(0) if len(answers) > 1 else answers[0]
            return [
                (
                    socket.AF_INET6 if ":" in address else socket.AF_INET,
                    socket.SOCK_STREAM,
                    6,
                    "",
                    (address, at or port),
                )
                for address, at in found
            ]
        if any(character.isalpha() and character not in "abcdefxABCDEFX" for character in host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return GETADDRINFO(host, port, *arguments, **options)
