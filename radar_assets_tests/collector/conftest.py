"""A real collector on loopback: uvicorn in a thread, with its own home."""

import asyncio
import faulthandler
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from radar_assets.access.keys import create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.collector.app import make_app
from radar_assets.collector.door import Door
from radar_assets.collector.doors import DOORS
from radar_assets.collector.protocol import BoundedProtocol
from radar_assets.config import WatchedDeclarations
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Project

PATIENCE_S = 60


@dataclass
class Reply:
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Collector:
    """A running collector, and the write keys of its projects `shop` and `blog`."""

    settings: Settings
    store: Store
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, events: Any, project: str = "shop", **headers: str) -> Reply:
        """Send events through Radar's own door; bytes are sent unchanged."""
        body = events if isinstance(events, bytes) else json.dumps(events).encode()
        return self.request("POST", "/v1/events", body, {"Authorization": f"Bearer {self.keys[project]}", **headers})

    def landed(self) -> list[bytes]:
        """Every complete line that landed since `forget`, including those in open segments."""
        lines = []
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self._seen.get(path.stat().st_ino, 0))
                lines += [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        return lines

    def forget(self) -> None:
        """Leave the present lines out of `landed`."""
        self._seen = {path.stat().st_ino: path.stat().st_size for path in self._files()}

    def _files(self) -> list[Path]:
        return sorted(path for path in self.settings.landing.rglob("*") if path.suffix in (".ndjson", ".open"))

    def events(self) -> list[dict[str, Any]]:
        """The lines that are JSON objects."""
        lines = [json.loads(line) for line in self.landed()]
        return [line for line in lines if isinstance(line, dict)]


@contextmanager
def serving(settings: Settings, doors: Sequence[Door] = DOORS) -> Iterator[Collector]:
    """A collector with these settings, shut down when the block ends."""
    store = open_store(settings.database)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    collector = Collector(settings, store, listener.getsockname()[1])
    for project in ("shop", "blog"):
        ensure_projects(store, [Project(project)])
        collector.keys[project] = create_key(store, project)
    config = uvicorn.Config(
        make_app(settings, WatchedDeclarations(settings.config_file), doors),
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    loops = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve([listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="collector")
    thread.start()
    try:
        _wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield collector
    finally:
        server.should_exit = True
        thread.join(4 * PATIENCE_S)
        if thread.is_alive():
            faulthandler.dump_traceback(sys.stderr.fileno())
            for task in asyncio.all_tasks(loops[0]):
                task.print_stack()
        listener.close()
        store.close()
        assert not thread.is_alive()


def _wait_until(is_true: Any) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if is_true():
            return
        pause.wait(0.01)


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    """A collector on a fresh home."""
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    settings = load_settings(home=tmp_path_factory.mktemp("collector"), segment_age_s=3600).prepare()
    with serving(settings) as running:
        yield running


@pytest.fixture
def shared(_shared: Collector) -> Collector:
    """A shared collector for tests that only send; earlier lines are left out."""
    _shared.forget()
    return _shared


def send(collector: Collector, path: str, body: Any) -> Any:
    return collector.request(
        "POST", path, json.dumps(body).encode(), {"Authorization": f"Bearer {collector.keys['shop']}"}
    )


@pytest.fixture
def keyed(shared: Collector) -> Collector:
    """A collector with the keys of the messages, for the project `shop`."""
    for key in ("site", "secret-key"):
        if key not in shared.keys:
            shared.keys[key] = create_key(shared.store, "shop", value=key)
    return shared
