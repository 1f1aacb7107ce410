"""`radar collect` as a process: signals, workers, logs and files."""

import base64
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from radar_assets.access.keys import create_key
from radar_assets.collector.open_segments import list_open
from radar_assets_tests.collector.processes import CollectorProcess, collecting
from radar_assets_tests.processes import free_port, members

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}
SENDERS = 4
PATIENCE_S = 60


@contextmanager
def half_a_request(collector: CollectorProcess) -> Iterator[Callable[[], bytes]]:
    """A partially sent request with the event `slow`. The function sends the rest and returns the start of the response."""
    body = json.dumps({**EVENT, "event_id": "slow"}).encode()
    head = ["POST /v1/events HTTP/1.1", "Host: a", f"Authorization: Bearer {collector.keys['shop']}"]
    head += [f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join(head).encode() + body[:10])

        def rest() -> bytes:
            connection.sendall(body[10:])
            return connection.recv(12)

        yield rest


def test_a_signal_stops_it_after_requests_in_progress_and_all_acknowledged_events_are_on_disk(tmp_path: Path) -> None:
    with collecting(tmp_path / "radar", workers=2) as collector:
        acknowledged, stopping = [], threading.Event()

        def send(rank: int) -> None:
            for number in range(100_000):
                try:
                    reply = collector.send({**EVENT, "event_id": f"{rank}-{number}"})
                except OSError:
                    assert stopping.is_set()
                    return
                assert reply.status == 200
                acknowledged.append(f"{rank}-{number}")

        threads = [threading.Thread(target=send, args=(rank,)) for rank in range(SENDERS)]
        for thread in threads:
            thread.start()
        with half_a_request(collector) as rest:
            _wait_until(lambda: len(acknowledged) > 20)
            stopping.set()
            os.kill(collector.pid, signal.SIGTERM)
            time.sleep(0.5)
            assert rest() == b"HTTP/1.1 200"
        assert collector.stop() == 0
        for thread in threads:
            thread.join()
        landed = [event["event_id"] for event in collector.events()]
        assert {*acknowledged, "slow"} <= set(landed)
        assert len(landed) == len(set(landed))
        assert list_open(collector.settings.landing) == []


def test_a_signal_before_it_handles_signals_stops_it_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from radar_assets.cli import main; main()", "collect", "--port", str(free_port())]
    environment = {**os.environ, "RADAR_HOME": str(tmp_path / "radar")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until(lambda: _catches(process.pid, signal.SIGTERM))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def _catches(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def test_workers_share_their_metrics_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    with collecting(tmp_path / "radar", workers=2) as collector:
        _wait_until(lambda: len(_starts(collector)) == 2)
        for number in range(20):
            assert collector.send({**EVENT, "event_id": str(number)}).status == 200
        assert 'radar_events_total{protocol="radar"} 20.0' in collector.request("GET", "/metrics").body.decode()
        os.kill(_starts(collector)[0], signal.SIGKILL)
        _wait_until(lambda: len(_starts(collector)) == 3)
        assert collector.send({**EVENT, "event_id": "after"}).status == 200
        assert collector.stop() == 0
        assert {event["event_id"] for event in collector.events()} == {*map(str, range(20)), "after"}


def test_workers_stop_cleanly_when_their_parent_is_killed(tmp_path: Path) -> None:
    with collecting(tmp_path / "radar", workers=2) as collector:
        assert collector.send({**EVENT, "event_id": "1"}).status == 200
        collector.stop(signal.SIGKILL)
        _wait_until(lambda: not members(collector.pid))
        assert [event["event_id"] for event in collector.events()] == ["1"]
        assert list_open(collector.settings.landing) == []


CANARY = "canary" + "7" * 26


def test_no_key_is_in_a_log_or_a_file(tmp_path: Path) -> None:
    with collecting(tmp_path / "radar", workers=1) as collector:
        create_key(collector.store, "shop", value=CANARY)
        create_key(collector.store, "shop", "read", value=f"{CANARY}-read")
        basic = base64.b64encode(f"{CANARY}:".encode()).decode()
        event, unknown = json.dumps(EVENT).encode(), CANARY.replace("7", "8")
        message = {"type": "track", "event": "a", "userId": "u"}
        sent = [
            ("/v1/events", event, {"Authorization": f"Bearer {CANARY}"}),
            ("/v1/events", event, {"Authorization": f"Basic {basic}"}),
            (f"/v1/events?key={CANARY}", event, {}),
            (f"/v1/events?key={CANARY}", b"no JSON", {}),
            (f"/v1/events?key={CANARY}", gzip.compress(event)[:-9], {}),
            (f"/v1/events?key={unknown}", event, {}),
            (f"/v1/events?key={CANARY}", b"[" + b"{}," * 6000 + b"{}]", {}),
            (f"/nowhere?key={CANARY}", event, {}),
            ("/v1/events", json.dumps({"key": CANARY, "events": [EVENT]}).encode(), {}),
            ("/v1/batch", json.dumps({"writeKey": CANARY, "batch": [{**message, "writeKey": CANARY}]}).encode(), {}),
            ("/v1/track", json.dumps({**message, "writeKey": CANARY}).encode(), {}),
            ("/batch/", json.dumps({"api_key": CANARY, "batch": [{"event": "a", "distinct_id": "u"}]}).encode(), {}),
            ("/e/", json.dumps({"event": "a", "properties": {"token": CANARY, "distinct_id": "u"}}).encode(), {}),
        ]
        statuses = [collector.request("POST", path, body, headers).status for path, body, headers in sent]
        assert statuses == [200, 200, 200, 400, 400, 401, 413, 404, 200, 200, 200, 200, 200]
        assert collector.request("GET", f"/v1/live?key={CANARY}-read").status == 200
        with socket.create_connection(("127.0.0.1", collector.port), timeout=PATIENCE_S) as connection:
            connection.sendall(
                f"POST /v1/events?key={CANARY} HTTP/9.9\r\nAuthorization: Bearer {CANARY}\r\n\r\n".encode()
            )
            connection.recv(100)
        assert collector.stop() == 0
        assert len(collector.events()) == 8
        written = [collector.log, *(path for path in (tmp_path / "radar").rglob("*") if path.is_file())]
        assert len(written) > 2
        for path in written:
            content = path.read_bytes()
            for secret in (CANARY, unknown, basic):
                assert secret.encode() not in content, path
        assert all(json.loads(line) for line in collector.log.read_text().splitlines() if line.startswith("{"))


def _starts(collector: CollectorProcess) -> list[int]:
    """The process ids of the workers that the log says have started."""
    lines = [json.loads(line) for line in collector.log.read_text().splitlines() if line.startswith("{")]
    return [line["process"] for line in lines if line["message"] == "Application startup complete."]


def _wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
