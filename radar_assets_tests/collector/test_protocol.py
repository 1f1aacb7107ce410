"""Heads of requests that come slowly, with a collector that waits for less time than usual."""

import http.client
import socket
import time

import pytest

from radar_assets.collector import protocol
from radar_assets_tests.collector.conftest import PATIENCE_S, Collector


def test_a_connection_without_a_whole_head_in_time_is_closed_and_others_are_not(
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
            assert 0.4 < time.monotonic() - began < 5
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=PATIENCE_S)
    connection.connect()
    kept = connection.sock
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        time.sleep(0.7)
    assert connection.sock is kept
    connection.close()
