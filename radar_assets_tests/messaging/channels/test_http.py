"""Sending takes limited time whatever the server does, and each failure is temporary or permanent."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.failures import PermanentError, TemporaryError
from radar_assets.messaging.transport.http import MAX_BYTES, MAX_WAIT, retry_after
from radar_assets_tests.messaging.channels.conftest import server_context
from radar_assets_tests.messaging.channels.servers import (
    KEY,
    Answer,
    Resolver,
    Server,
    drip,
    drop,
    hang,
    large,
    message,
    send,
    serving,
    status,
)
from radar_assets_tests.patience import undisturbed

HERE = ("127.0.0.1",)
SHORT = 0.6
FOREVER = 30
"""Seconds; longer than sending takes on a machine that stalls, but not than an endless response."""


def hook(server: Server, timeout_s: float = 15) -> None:
    """Send to a webhook on the server."""
    url = f"http://127.0.0.1:{server.port}/hook"
    channel = parse_channel({"type": "webhook", "name": "hook", "url": url, "secrets": [KEY]}, HERE)
    send(channel, message(), Transport(HERE, timeout_s=timeout_s))


def chat(server: Server, timeout_s: float = 15) -> None:
    """Send to a chat on the server, through apprise."""
    spec = {
        "type": "gotify",
        "name": "chat",
        "host": "127.0.0.1",
        "port": server.port,
        "tls": False,
        "token": "AbcdefgHijkl",
    }
    send(parse_channel(spec, HERE), message(), Transport(HERE, timeout_s=timeout_s))


ROADS = pytest.mark.parametrize("road", [hook, chat])


@ROADS
@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 413, 422, 451, 301, 302, 307, 308, 304])
def test_these_statuses_are_permanent_failures(road: Any, code: int, server: Server) -> None:
    server.answer(status(code, Location="http://169.254.169.254/latest/meta-data"))
    with pytest.raises(PermanentError, match=str(code)):
        road(server)
    assert server.connections == 1


@ROADS
@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_these_statuses_are_temporary_failures_with_retry_after(road: Any, code: int, server: Server) -> None:
    server.answer(status(code, Retry_After="7"))
    with pytest.raises(TemporaryError, match=str(code)) as failed:
        road(server)
    assert failed.value.retry_after == timedelta(seconds=7)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta(0)),
        ("Tue, 12 May 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Tuesday, 12-May-26 12:00:30 GMT", timedelta(seconds=30)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT),
        ("999999999999999999999999", MAX_WAIT),
        ("1e400", MAX_WAIT),
        *(
            (nothing, None)
            for nothing in ("", None, "soon", "-5", "nan", "Tue, 12 May 2020 12:00:30 GMT", "Tue, 99 May", "\x00")
        ),
    ],
)
def test_retry_after_is_read_in_both_forms_and_limited(header: str | None, wait: timedelta | None) -> None:
    assert retry_after(header, datetime(2026, 5, 12, 12, tzinfo=UTC)) == wait


@ROADS
@pytest.mark.parametrize(
    "answer",
    [hang, drip(b""), drip(b"HTTP/1.1 2"), drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 9)],
    ids=["hangs", "drips", "drips a status", "continues"],
)
def test_a_missing_response_times_out(road: Any, answer: Answer, server: Server) -> None:
    server.answer(answer)

    def attempt() -> None:
        with pytest.raises(TemporaryError, match=r"within 0\.6 s|closed the connection"):
            road(server, SHORT)

    started = time.monotonic()
    undisturbed(attempt)
    assert time.monotonic() - started < FOREVER


@ROADS
@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX-"),
    ],
    ids=["body", "body without end", "headers"],
)
def test_an_endless_body_does_not_change_a_success(road: Any, answer: Answer, server: Server) -> None:
    server.answer(answer)
    limits_s = iter((1, 3, 9, 27))
    undisturbed(lambda: road(server, next(limits_s)))


@ROADS
@pytest.mark.parametrize(
    ("code", "failure"), [(200, None), (500, TemporaryError), (404, PermanentError), (302, PermanentError)]
)
def test_only_the_start_of_a_large_body_is_read(road: Any, code: int, failure: Any, server: Server) -> None:
    answer = large(code)
    server.answer(answer)
    if failure:
        with pytest.raises(failure, match=str(code)):
            road(server)
    else:
        road(server)
    # Plus what is in the buffers of both sides.
    assert answer.sent < MAX_BYTES + (16 << 20)  # pyright: ignore[reportFunctionMemberAccess]


@ROADS
def test_a_dropped_connection_is_a_temporary_failure(road: Any, server: Server) -> None:
    server.answer(drop)
    with pytest.raises(TemporaryError, match="closed the connection"):
        road(server)


@ROADS
@pytest.mark.parametrize(
    "answer", [b"what?\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n"]
)
def test_a_response_that_is_not_http_is_a_temporary_failure(road: Any, answer: bytes, server: Server) -> None:
    server.answer(lambda connection: connection.sendall(answer))
    with pytest.raises(TemporaryError):
        road(server)


@ROADS
def test_a_refused_connection_is_a_temporary_failure(road: Any) -> None:
    with serving() as server:
        pass
    with pytest.raises(TemporaryError, match="refused"):
        road(server)


@ROADS
def test_proxies_of_the_environment_are_not_used(road: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answer(status(200))
    road(server)


def secure(host: str = "hook.example", timeout_s: float = 15) -> None:
    channel = parse_channel({"type": "webhook", "name": "hook", "url": f"https://{host}/hook", "secrets": [KEY]})
    send(channel, message(), Transport(HERE, timeout_s=timeout_s))


def test_tls_is_verified_against_the_name(tls_server: Server, resolver: Resolver) -> None:
    secure()
    assert tls_server.requests[0].headers["host"] == "hook.example"
    resolver.add("other.example", [("127.0.0.1", tls_server.port)])
    with pytest.raises(PermanentError, match="invalid certificate"):
        secure("other.example")
    assert len(tls_server.requests) == 1


def test_an_untrusted_certificate_is_a_permanent_failure(resolver: Resolver) -> None:
    with serving(server_context(trustme.CA(), "hook.example")) as server:
        resolver.add("hook.example", [("127.0.0.1", server.port)])
        with pytest.raises(PermanentError, match="invalid certificate"):
            secure()
        assert not server.requests


def test_a_broken_or_stalled_handshake_is_a_temporary_failure(server: Server, resolver: Resolver) -> None:
    # A server without TLS waits for the end of a request that it can't parse.
    resolver.add("hook.example", [("127.0.0.1", server.port)])

    def stall() -> None:
        with pytest.raises(TemporaryError, match="within"):
            secure(timeout_s=SHORT)

    undisturbed(stall)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        resolver.add("hook.example", [("127.0.0.1", listener.getsockname()[1])])

        def answer(what: bytes) -> None:
            connection, _ = listener.accept()
            connection.recv(10)
            connection.sendall(what)
            connection.close()

        for what in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
            threading.Thread(target=answer, args=(what,), daemon=True).start()
            with pytest.raises(TemporaryError, match=r"hook\.example"):
                secure()


def test_an_address_that_never_answers_leaves_time_for_the_next(tls_server: Server, resolver: Resolver) -> None:
    # A listener with a full queue drops further connection attempts.
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        resolver.add("hook.example", [("127.0.0.1", full.getsockname()[1]), ("127.0.0.1", tls_server.port)])
        limits_s = iter((2, 4, 8, 16))
        undisturbed(lambda: secure(timeout_s=next(limits_s)))
    assert tls_server.requests


def test_a_resolver_that_hangs_is_not_waited_for(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(2 * FOREVER))
    started = time.monotonic()
    with pytest.raises(TemporaryError, match="can't be resolved"):
        secure(timeout_s=SHORT)
    assert time.monotonic() - started < FOREVER
    done.set()
