"""Connections to where messages go: to the addresses that were looked at, with TLS that verifies, for a bounded time in all."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import certifi

from radar_assets.alerts.channels.addresses import AllowedHosts, resolve


class Deadline:
    """The end of the time that a message may take: what is still connected then is cut off.

    Time limits of sockets are for each read, so a side that sends a byte a second would never reach them.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self._timer.start()

    @property
    def passed(self) -> bool:
        """Whether it is over, by the clock: a socket's own limit may tell a moment before the timer."""
        return time.monotonic() >= self._until

    def left(self) -> float:
        """Seconds left, never none, as a limit of zero would mean not to wait at all."""
        return max(0.001, self._until - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Cut a connection off when the time is up, whatever wraps it by then."""
        with self._lock:
            self._sockets.append(connection.dup())
        if self.passed:
            self._cut()

    def close(self) -> None:
        """The message is sent, or isn't."""
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    def _cut(self) -> None:
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def tls_context() -> ssl.SSLContext:
    """TLS that verifies, by the certificates of the system (or SSL_CERT_FILE) and those of certifi."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def connect(host: str, port: int, allowed: AllowedHosts, deadline: Deadline, *, plain: bool = False) -> socket.socket:
    """Connect to a host, to no other address than was looked at.

    Raises:
        SendError: it has no address, or one that may not be sent to.
        OSError: none of its addresses answers.
    """
    problem: OSError = OSError("no address")
    answers = resolve(host, port, allowed, deadline.left(), plain=plain)
    for place, (family, kind, protocol, _, endpoint) in enumerate(answers):
        connection = socket.socket(family, kind, protocol)
        try:
            # An address that never answers leaves the others their share of the time.
            connection.settimeout(deadline.left() / (len(answers) - place))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            deadline.watch(connection)
            connection.connect(endpoint)
            connection.settimeout(deadline.left())
        except OSError as error:
            connection.close()
            problem = error
        else:
            return connection
    raise problem
