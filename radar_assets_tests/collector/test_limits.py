"""Rates that workers share in a real Redis, also while it is down, and quotas when nothing can be stored."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from radar_assets.settings import Settings, load_settings
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.object_server import BUCKET, ObjectServer
from radar_assets_tests.processes import free_port
from radar_assets_tests.programs import find_program

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis for the test: its URL and its process."""
    program = find_program("redis-server", "redis-server", "rates that workers share")
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}", process
    process.kill()
    process.wait()


def test_workers_share_a_rate_in_redis_and_accept_events_while_it_is_down(
    settings: Settings, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, process = redis
    shared = load_settings(events_per_second=2, redis_url=url)
    with serving(shared) as first, serving(shared) as second:
        second.keys = first.keys
        assert first.send([EVENT] * 12).status == 200
        assert second.send([EVENT] * 12).status == 429
        assert second.send([EVENT] * 8).status == 200
        assert first.send(EVENT).status == 429
        assert first.send(EVENT, "blog").status == 200
        process.kill()
        process.wait()
        began = time.monotonic()
        assert first.send(EVENT).status == 200
        assert time.monotonic() - began < 5


def test_events_that_could_not_be_stored_do_not_count_against_the_quota(object_server: ObjectServer) -> None:
    limited = load_settings(landing_url=f"s3://{BUCKET}/landing", events_per_month=3).prepare()
    with serving(limited) as collector:
        object_server.stop()
        assert [collector.send([EVENT] * 3).status for _ in range(3)] == [503] * 3
        object_server.start()
        assert [collector.send(sent).status for sent in ([EVENT] * 3, EVENT)] == [200, 429]
