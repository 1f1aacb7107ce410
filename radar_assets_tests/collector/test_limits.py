"""Rates that workers share in a real Redis, also while it is down, and quotas when nothing can be stored."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis, RedisError

from radar_assets.settings import Settings, load_settings
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.object_server import BUCKET, ObjectServer
from radar_assets_tests.patience import eventually, undisturbed
from radar_assets_tests.processes import free_port
from radar_assets_tests.programs import find_program

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}


def answers(client: Redis) -> bool:
    with suppress(RedisError):
        return bool(client.ping())
    return False


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis for the test: its URL and its process."""
    program = find_program("redis-server", "redis-server", "rates that workers share")
    port = free_port()
    command = [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = Redis(port=port)
    eventually(lambda: answers(client))
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

        def share() -> None:
            Redis.from_url(url).flushall()
            assert first.send([EVENT] * 12).status == 200
            assert second.send([EVENT] * 12).status == 429
            assert second.send([EVENT] * 8).status == 200
            assert first.send(EVENT).status == 429
            assert first.send(EVENT, "blog").status == 200

        undisturbed(share)  # all of it in ten seconds, and a Redis that doesn't answer for one is skipped
        process.kill()
        process.wait()
        assert first.send(EVENT).status == 200


def test_events_that_could_not_be_stored_do_not_count_against_the_quota(object_server: ObjectServer) -> None:
    limited = load_settings(landing_url=f"s3://{BUCKET}/landing", events_per_month=3).prepare()
    with serving(limited) as collector:
        object_server.stop()
        assert [collector.send([EVENT] * 3).status for _ in range(3)] == [503] * 3
        object_server.start()
        assert [collector.send(sent).status for sent in ([EVENT] * 3, EVENT)] == [200, 429]
