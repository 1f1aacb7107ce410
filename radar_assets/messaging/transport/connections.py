"""Connections to destinations: to addresses that were checked, with verified TLS, for a limited time."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import certifi

from radar_assets.messaging.transport.addresses import AllowedHosts, resolve


class Deadline:
    """The time limit of a message; connections that are still open then are cut off.

    Socket timeouts apply to each read, so a server that sends a byte a second would never reach them.
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
        """Whether the limit is reached, by the clock: a socket's own timeout may fire shortly before the timer."""
        return time.monotonic() >= self._until

    def left(self) -> float:
        """Seconds left, always above zero: a timeout of zero would mean non-blocking."""
        return max(0.001, self._until - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Cut a connection off when the limit is reached, whatever wraps it by then."""
        with self._lock:
            self._sockets.append(connection.dup())
        if self.passed:
            self._cut()

    def close(self) -> None:
        """Stop watching."""
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
    """TLS that verifies certificates, against those of the system (or SSL_CERT_FILE) and of certifi."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def connect(host: str, port: int, allowed: AllowedHosts, deadline: Deadline, *, plain: bool = False) -> socket.socket:
    """Connect to a host, only to addresses that were checked.

    Raises:
        SendError: it has no address, or one that is not allowed.
        OSError: none of its addresses answers.
    """
    problem: OSError = OSError("no address")
    answers = resolve(host, port, allowed, deadline.left(), plain=plain)
    for index, (family, kind, protocol, _, endpoint) in enumerate(answers):
        connection = socket.socket(family, kind, protocol)
        try:
            # An address that never answers leaves the others their share of the time.
            connection.settimeout(deadline.left() / (len(answers) - index))
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
