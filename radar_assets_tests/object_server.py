"""An S3 server on loopback: moto's, which keeps objects in memory and refuses what `If-None-Match` forbids, as S3 does."""

from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

BUCKET = "radar"


@pytest.fixture
def object_server(monkeypatch: pytest.MonkeyPatch) -> "Iterator[ObjectServer]":
    """A running server with an empty bucket, which `AWS_*` variables point at."""
    server = ObjectServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    yield server
    server.stop()


class ObjectServer:
    """The server. Its content survives a stop, until another server is created."""

    def __init__(self) -> None:
        self._port = 0
        self.start()
        urlopen(Request(f"{self.url}/moto-api/reset", method="POST")).close()
        urlopen(Request(f"{self.url}/{BUCKET}", method="PUT")).close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()

    def stop(self) -> None:
        self._server.stop()
