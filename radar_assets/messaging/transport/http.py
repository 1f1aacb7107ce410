"""Outgoing HTTP of all channels: which hosts, how long, how much of a response, and what a response means.

It does not use the session of microsoft-antissrf, whose ranges `addresses.py` uses: that one lets proxies of the environment resolve
names after its check, leaves the port out of the Host header, tries one address only and follows redirects. Proxies of the
environment are ignored here: a proxy resolves names itself, so it can't be held to the address that was checked.
"""

import contextvars
import email.utils
import logging
import math
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from radar_assets.messaging.failures import PermanentError, SendError, TemporaryError
from radar_assets.messaging.transport.addresses import AllowedHosts
from radar_assets.messaging.transport.connections import Deadline, connect, tls_context

MAX_BYTES = 64 * 1024
"""Of a response; no channel returns more that matters."""
MAX_WAIT = timedelta(hours=6)
"""Maximum for Retry-After: an alert that waits longer has lost its meaning."""
_TEMPORARY = {408, 425, 429}

_quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("radar_quiet", default=False)


class _NoSecrets(logging.Filter):
    """Keeps urllib3 from logging the paths of requests to channels, which often are secrets; other requests are logged."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return not _quiet.get()


for _name in ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.connection"):
    logging.getLogger(_name).addFilter(_NoSecrets())


@dataclass
class Exchange:
    """A request and its result: a response, its body truncated if too long, or a failure."""

    host: str
    status: int | None = None
    body: bytes = b""
    retry_after: timedelta | None = None
    failure: SendError | None = None


class Session(requests.Session):
    """A session for one message: guarded connections, no redirects, no proxies, limited responses."""

    def __init__(self, allowed_hosts: Sequence[str], deadline: Deadline, tls: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["User-Agent"] = "Radar"
        self.headers["Accept-Encoding"] = "identity"
        self.exchanges: list[Exchange] = []
        self._deadline = deadline
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(AllowedHosts(allowed_hosts), deadline, tls))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request; its result is also kept in `exchanges`.

        Raises:
            requests.RequestException: no response; without the URL of the request, which may be a secret.
        """
        if self.exchanges and verdict(self.exchanges[-1]):
            # Some of apprise's classes retry at once, or go on after a refusal.
            raise requests.ConnectionError("the request before this one has failed")
        exchange = Exchange(host=urlsplit(request.url or "").hostname or "the host")
        self.exchanges.append(exchange)
        options |= {"allow_redirects": False, "stream": True, "verify": True, "proxies": {}, "cert": None}
        options["timeout"] = self._deadline.left()
        try:
            response = super().send(request, **options)
            with response:
                self._read(response, exchange)
        except (requests.RequestException, HTTPError, OSError, SendError) as error:
            exchange.failure = self._failure(exchange.host, error)
        else:
            return response
        raise requests.ConnectionError(str(exchange.failure))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No target: even to look at a redirect, requests would read its whole body."""

    def _read(self, response: requests.Response, exchange: Exchange) -> None:
        exchange.status = response.status_code
        exchange.retry_after = retry_after(response.headers.get("Retry-After"))
        body = bytearray()
        try:
            while len(body) < MAX_BYTES:
                part = response.raw.read1(MAX_BYTES - len(body), decode_content=True)
                if not part:
                    break
                body += part
        except (HTTPError, OSError):
            if self._deadline.passed:
                # The status is what counts; the body is read for the error text only.
                body.clear()
        exchange.body = bytes(body)
        response._content, response._content_consumed = exchange.body, True  # type: ignore[attr-defined]

    def _failure(self, host: str, error: BaseException) -> SendError:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, SendError):
                return cause
        if self._deadline.passed or any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
            return TemporaryError(f"{host} did not answer within {self._deadline.timeout_s:g} s")
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return PermanentError(f"{host} has an invalid certificate: {cause.verify_message}")
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return TemporaryError(f"{host} closed the TLS connection ({cause.reason or 'end of file'})")
            if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
                return TemporaryError(f"{host} can't be reached: {cause.strerror}")
        return TemporaryError(f"{host} closed the connection")


def post(url: str, body: bytes, headers: dict[str, str], allowed_hosts: Sequence[str], timeout_s: float) -> None:
    """Post a body; returns when the other side has accepted it.

    Raises:
        SendError: it was not accepted.
    """
    with guarded(allowed_hosts, timeout_s) as session:
        with suppress(requests.RequestException):
            session.post(url, data=body, headers=headers)
        exchange = session.exchanges[-1] if session.exchanges else Exchange("the host")
    failure = verdict(exchange)
    if failure:
        raise failure


@contextmanager
def guarded(allowed_hosts: Sequence[str], timeout_s: float) -> Iterator[Session]:
    """A session for one message, with the logging of the libraries below it silenced."""
    # Outside the deadline: reading the certificates takes time too, but the other side can't prolong it.
    tls = tls_context()
    deadline = Deadline(timeout_s)
    silence = _quiet.set(True)
    try:
        with Session(allowed_hosts, deadline, tls) as session:
            yield session
    finally:
        deadline.close()
        _quiet.reset(silence)


def verdict(exchange: Exchange) -> SendError | None:
    """The failure that an exchange means; None if the message was accepted."""
    host, status = exchange.host, exchange.status
    if exchange.failure or status is None:
        return exchange.failure or TemporaryError(f"{host} was not contacted")
    if 200 <= status < 300:
        return None
    if status in _TEMPORARY or status >= 500:
        return TemporaryError(f"{host} answered {status}", exchange.retry_after)
    if 300 <= status < 400:
        return PermanentError(f"{host} answered {status}; redirects are not followed, so configure the final URL")
    return PermanentError(f"{host} answered {status}")


def retry_after(header: str | None, now: datetime | None = None) -> timedelta | None:
    """The wait that a Retry-After header asks for, in seconds or until a date, at most `MAX_WAIT`; None if missing or invalid."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
        except (ValueError, IndexError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    if math.isnan(seconds) or seconds < 0:
        return None
    return min(timedelta(seconds=min(seconds, 1e6)), MAX_WAIT)


class _Adapter(HTTPAdapter):
    """Opens guarded connections, never through a proxy."""

    def __init__(self, allowed: AllowedHosts, deadline: Deadline, tls: ssl.SSLContext) -> None:
        self._guard = (allowed, deadline)
        self._tls = tls
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)
        allowed, deadline = self._guard

        def open_socket(connection: HTTPConnection) -> socket.socket:
            plain = not isinstance(connection, HTTPSConnection)
            host = connection._dns_host  # the name as given: `host` has lost a dot at its end
            try:
                return connect(host, connection.port, allowed, deadline, plain=plain)
            except (OSError, SendError) as error:
                raise NewConnectionError(connection, "not connected") from error

        plain = type("Plain", (HTTPConnection,), {"_new_conn": open_socket})
        tls = type("Tls", (HTTPSConnection,), {"_new_conn": open_socket})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def proxy_manager_for(self, proxy: str, **_options: Any) -> Any:
        raise requests.exceptions.ProxyError(f"no proxy is used, but one was given: {proxy[:20]}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, as requests and urllib3 keep them."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
