"""Request heads that are slow or too large, and thousands of connections."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from radar_assets.collector import protocol
from radar_assets_tests.collector.conftest import PATIENCE_S, Collector
from radar_assets_tests.patience import undisturbed


def test_only_connections_without_a_complete_head_in_time_are_closed(
    shared: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.5)
    started = b"GET /healthz HTTP/1.1\r\n"
    for sent in (b"", started, started + b"Host: a\r\n\r\n" + started):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE_S) as connection:
            began = time.monotonic()
            connection.sendall(sent)
            while connection.recv(10_000):
                pass
            assert time.monotonic() - began > 0.4

    def stay_connected() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", shared.port, timeout=PATIENCE_S)) as connection:
            connection.connect()
            kept = connection.sock
            for _ in range(3):
                connection.request("GET", "/healthz")
                assert connection.getresponse().read() == b'{"status":"ok"}'
                time.sleep(0.7)
            assert connection.sock is kept

    undisturbed(stay_connected)


@contextmanager
def started(collector: Collector, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which the head of a request has begun to arrive."""
    with ExitStack() as stack:
        address = ("127.0.0.1", collector.port)
        opened = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(count)]
        for connection in opened:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        yield opened


def test_a_thousand_connections_are_served_at_once(shared: Collector) -> None:
    with started(shared, 1000) as connections:
        for connection in connections:
            connection.sendall(b"\r\n")
        assert {connection.recv(15) for connection in connections} == {b"HTTP/1.1 200 OK"}


def test_connections_over_the_maximum_get_503_and_open_ones_are_served(
    shared: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 20)
    with started(shared, 20) as connections:
        with socket.create_connection(("127.0.0.1", shared.port), timeout=PATIENCE_S) as refused:
            answer = refused.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        connections[-1].sendall(b"\r\n")
        assert connections[-1].recv(15) == b"HTTP/1.1 200 OK"
    deadline = time.monotonic() + PATIENCE_S
    while shared.request("GET", "/healthz").status != 200:
        assert time.monotonic() < deadline


def test_too_many_headers_are_refused(shared: Collector) -> None:
    assert shared.request("GET", "/healthz", headers={f"a{n}": "" for n in range(150)}).status == 200
    assert shared.request("GET", "/healthz", headers={f"a{n}": "" for n in range(250)}).status == 400
