"""The live numbers over HTTP, of a collector with several workers that is killed and started anew."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from radar_assets.collector.keys import create_key
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets_tests.cli.conftest import Radar, radar

__all__ = ["radar"]

PATIENCE_S = 60
CONNECTIONS = 12
"""Each is taken by one of two workers; that all are by the same happens once in 2,000 times."""


@pytest.fixture
def keys(settings: Settings) -> dict[str, str]:
    """A write key and a read key of the project `shop`, and a read key of `blog`."""
    store = open_store(settings.database)
    store.ensure_projects([Project("shop"), Project("blog")])
    made = {"write": create_key(store, "shop"), "read": create_key(store, "shop", kind="read")}
    made["other"] = create_key(store, "blog", kind="read")
    store.close()
    return made


@contextmanager
def workers(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`radar collect` with two workers; whatever is left of them is killed in the end."""
    script = "from radar_assets.cli import main; main()"
    command = [sys.executable, "-c", script, "collect", "--port", str(port), "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while ask(port, "/healthz") is None:
            assert process.poll() is None
            assert time.monotonic() < deadline, "the collector does not answer"
            time.sleep(0.1)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(port: int, path: str, key: str = "", body: Any = None) -> Any:
    """The answer on a connection of its own: JSON, the status of an error, or `None` where nobody listens."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_every_worker_answers_for_all_of_them_within_a_second_and_a_new_one_too(
    settings: Settings, keys: dict[str, str], radar: Radar
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    def seen() -> list[tuple[int, int]]:
        answers = [ask(port, "/v1/live?project=shop", keys["read"]) for _ in range(CONNECTIONS)]
        return sorted({(answer["events"], answer["visitors"]) for answer in answers})

    with workers(port) as process:
        for number in range(CONNECTIONS):
            visit = {"type": "page", "anonymous_id": f"visitor {number % 3}", "properties": {"path": f"/{number % 2}"}}
            assert ask(port, "/v1/events", keys["write"], visit) == {"status": "accepted"}
        time.sleep(1)
        assert seen() == [(CONNECTIONS, 3)]
        assert ask(port, "/v1/live?project=shop", keys["write"]) == 401
        assert ask(port, "/v1/live?project=shop", keys["other"]) == 403
        assert ask(port, "/v1/live", keys["other"])["events"] == 0
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with workers(port):
        assert seen() == [(CONNECTIONS, 3)]
        shown = radar(f"live shop --url http://127.0.0.1:{port} --key {keys['read']}")
        refused = radar(f"live shop --url http://127.0.0.1:{port} --key {keys['write']}")
    here = radar("live shop --once")
    for run in (shown, here):
        assert run.code == 0
        assert "3 visitors   12 page views   12 events" in run.out
        assert "/0" in run.out
    assert refused.code == 1
    assert "refuses the key" in refused.err
    gone = radar(f"live shop --url http://127.0.0.1:{port} --key {keys['read']}")
    assert gone.code == 1
    assert "can't be asked" in gone.err
