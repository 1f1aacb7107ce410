"""Hostile and malformed requests: the collector keeps running in little memory, and other senders are not affected."""

import gzip
import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from radar_assets.collector.doors import DOORS
from radar_assets_tests.collector.processes import CollectorProcess, collecting
from radar_assets_tests.patience import PATIENCE_S, undisturbed

BODY_TIMEOUT_S = 2
MAX_MB = 700
"""Maximum memory of a collector, whatever it receives: one large body at its worst, and the requests that wait."""
ANY_SPEED = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]
WORST_S = 2.0
"""Maximum CPU time that a collector spends on anything else before it answers a small request."""
EVENT = {"event": "signup", "anonymous_id": "visitor-1"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector in its own process, which has to survive all tests in limited memory."""
    home = tmp_path_factory.mktemp("hostile") / "radar"
    with collecting(home, body_timeout_s=BODY_TIMEOUT_S) as running:
        yield running
        assert running.send(EVENT).status == 200
        assert running.peak_mb() < MAX_MB
        log = running.log.read_text()
        assert "Traceback" not in log, log


@dataclass
class Neighbour:
    """A sender of one event after the other during a test."""

    statuses: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@contextmanager
def neighbour(target: CollectorProcess) -> Iterator[Neighbour]:
    """A neighbour, whose requests must have been answered in time when the block ends."""
    seen, started, stop = Neighbour(), threading.Event(), threading.Event()

    def send() -> None:
        while not stop.wait(0.02):
            before_s = target.cpu_s()
            seen.statuses.append(target.send(EVENT, "blog").status)
            seen.cpu_s.append(target.cpu_s() - before_s)
            started.set()

    thread = threading.Thread(target=send)
    thread.start()
    started.wait(PATIENCE_S)
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
    assert set(seen.statuses) == {200}
    assert max(seen.cpu_s) < WORST_S


def test_no_request_by_the_openapi_document_makes_the_server_fail(
    target: CollectorProcess, request: pytest.FixtureRequest
) -> None:
    import schemathesis

    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json")
    operations = [schema[path][method] for path in schema for method in schema[path]]
    assert len(operations) > 20
    for operation in operations:
        _call(operation, int(request.config.option.requests) // len(operations), target.keys["shop"])


def _call(operation: Any, examples: int, key: str) -> None:
    """Call an operation and compare its responses with its description."""
    from schemathesis.specs.openapi import checks

    # A key is always sent, and an invalid event among others becomes a rejected line.
    excluded = [checks.ignored_auth, checks.negative_data_rejection]
    if not operation.path.startswith("/v1/events"):
        # The bodies of SDKs are not described, because their protocols define them.
        excluded += [checks.positive_data_acceptance, checks.unsupported_method]

    @hypothesis.settings(max_examples=max(2, examples), database=None, suppress_health_check=ANY_SPEED)
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, excluded_checks=excluded)

    call()


ROUTES = sorted({(method, path.replace("{", "").replace("}", "")) for door in DOORS for method, path in door.routes})
FIELDS = st.sampled_from(
    """
    type event events batch data payload properties context userId anonymousId messageId timestamp sentAt writeKey
    api_key token distinct_id uuid $set website url name domain e p tv eid dtm aid ue_px cx key sent_at event_id project_id n u d
    """.split()  # noqa: SIM905
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | FIELDS, inner, max_size=6),
    max_leaves=20,
)
BODIES = st.one_of(
    JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(JSON, max_size=3).map(lambda values: b"\n".join(json.dumps(value).encode() for value in values)),
    st.binary(max_size=300),
    st.tuples(JSON, st.integers(0, 60)).map(lambda pair: json.dumps(pair[0]).encode()[: pair[1]]),
)
PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Authorization",
            "Content-Type",
            "Content-Encoding",
            "Origin",
            "Referer",
            "DNT",
            "User-Agent",
            "X-Forwarded-For",
        ]
    ),
    st.sampled_from(
        [
            "gzip",
            "deflate",
            "application/json",
            "text/plain",
            "1",
            "Basic Og==",
            "https://shop.example",
            "http://[",
            "::1, 1.2.3.4",
        ]
    )
    | PLAIN,
    max_size=4,
)
QUERIES = st.dictionaries(FIELDS | st.sampled_from(["compression", "ip", "_", "e", "data"]), PLAIN, max_size=4)


def test_no_request_makes_the_server_fail_or_writes_to_a_project_without_its_key(
    target: CollectorProcess, request: pytest.FixtureRequest
) -> None:
    from urllib.parse import urlencode

    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=PATIENCE_S)
    target.forget()

    @hypothesis.settings(
        max_examples=int(request.config.option.requests),
        database=None,
        suppress_health_check=ANY_SPEED,
    )
    @given(
        route=st.sampled_from(ROUTES),
        query=QUERIES,
        headers=HEADERS,
        body=BODIES,
        pack=st.sampled_from([bytes, bytes, gzip.compress, lambda body: gzip.compress(body)[:-3]]),
        keyed=st.booleans(),
    )
    def send(
        route: tuple[str, str], query: dict[str, str], headers: dict[str, str], body: bytes, pack: Any, keyed: bool
    ) -> None:
        method, path = route
        if keyed:
            query = {**query, "key": target.keys["shop"]}
        try:
            connection.request(method, f"{path}?{urlencode(query)}", None if method == "GET" else pack(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, ConnectionError):
            connection.close()
            raise
        assert answer.status < 500, (answer.status, text)
        assert answer.status != 413

    send()
    connection.close()
    for line in target.landed():
        event = json.loads(line)
        assert not isinstance(event, dict) or event["project_id"] == "shop"


def _zeros(megabytes: int) -> bytes:
    return gzip.compress(b"0" * (megabytes * 1_000_000), compresslevel=1)


BOMBS = {
    "zeros": (lambda: _zeros(200), 413),
    "twice-packed": (lambda: gzip.compress(_zeros(200)), 400),
    "empty-members": (lambda: gzip.compress(b"") * 800_000, 400),
    "objects": (lambda: gzip.compress(b"[" + b"{}," * 20_000_000 + b"{}]", 1), 413),
    "numbers": (lambda: gzip.compress(b'{"event":"a","properties":{"a":[' + b"1," * 25_000_000 + b"1]}}", 1), 413),
    "brackets": (lambda: gzip.compress(b"[" * 60_000_000, 1), 400),
    "nested-objects": (lambda: gzip.compress(b'{"a":' * 12_000_000, 1), 400),
    "strings": (lambda: gzip.compress(b"[" + b'"",' * 990_000 + b'""]', 1), 413),
    "blank-lines": (lambda: gzip.compress(b"{}\n" + b"\n" * 990_000 + b"{}", 1), 200),
    "short-lines": (lambda: gzip.compress(b"{}\n" * 990_000, 1), 413),
    "many-lines": (lambda: gzip.compress(b"{}\n" * 20_000_000, 1), 413),
    "one-text": (lambda: gzip.compress(b'{"event":"' + b"a" * 60_000_000 + b'"}', 1), 200),
    "declared": (lambda: b"0" * 20_000_001, 413),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_compression_bombs_are_refused_in_limited_memory_without_delaying_others(
    target: CollectorProcess, bomb: str
) -> None:
    make, status = BOMBS[bomb]
    body = make()
    with neighbour(target):
        before_s = target.cpu_s()
        assert target.send(body).status == status
        assert target.cpu_s() - before_s < 10
    assert target.peak_mb() < MAX_MB


def _segment(shared: Any, messages: int, **own: Any) -> bytes:
    message = {"type": "track", "event": "a", "userId": "a", **own}
    return json.dumps({"batch": [message] * messages, "context": shared}).encode()


MEMBERS = {str(number): 1 for number in range(18_000)}
SHARED = {
    "segment-members": ("/v1/batch", lambda: _segment(MEMBERS, 200), {}, 413),
    "segment-own": (
        "/v1/batch",
        lambda: _segment(dict(list(MEMBERS.items())[:2_000]), 5_000, context={"a": 1}),
        {},
        413,
    ),
    "segment-text": ("/v1/batch", lambda: _segment({"a": "a" * 32_000}, 5_000), {}, 413),
    "segment-address": ("/v1/batch", lambda: _segment({"a": "a" * 32_000, "ip": "203.0.113.77"}, 5_000), {}, 413),
    "posthog-time": (
        "/batch/",
        lambda: json.dumps({"batch": [{"event": "a", "timestamp": 1}] * 5_000, "sent_at": "a" * 60_000}).encode(),
        {},
        200,
    ),
    "snowplow-browser": (
        "/com.snowplowanalytics.snowplow/tp2",
        lambda: b'{"data":[' + b'{"aid":"AID"},' * 4_999 + b'{"aid":"AID"}]}',
        {"User-Agent": "a" * 60_000},
        200,
    ),
}
"""Bodies whose events share a value, so that their lines are much larger than the body."""


@pytest.mark.parametrize("bomb", SHARED)
def test_shared_values_of_events_use_limited_memory(target: CollectorProcess, bomb: str) -> None:
    path, make, headers, status = SHARED[bomb]
    key = target.keys["shop"]
    body = make().replace(b"AID", key.encode())
    target.forget()
    with neighbour(target):
        assert target.request("POST", f"{path}?key={key}", body, headers).status == status
    assert sum(map(len, target.landed())) < 20_000_000
    assert target.peak_mb() < MAX_MB


def test_many_compression_bombs_at_once_are_inflated_one_by_one(target: CollectorProcess) -> None:
    body, statuses = BOMBS["one-text"][0](), []
    threads = [threading.Thread(target=lambda: statuses.append(target.send(body).status)) for _ in range(3)]
    with neighbour(target):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 3
    assert target.peak_mb() < MAX_MB


def _head(target: CollectorProcess, length: int) -> bytes:
    lines = [
        "POST /v1/events HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {target.keys['shop']}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_slow_bodies_are_cut_off_in_time_without_delaying_others(target: CollectorProcess) -> None:
    def drip_until_cut_off() -> None:
        with ExitStack() as stack, neighbour(target) as seen:
            drips = [stack.enter_context(socket.create_connection(("127.0.0.1", target.port))) for _ in range(100)]
            for drip in drips:
                drip.sendall(_head(target, 1_000_000))
            before, until = len(seen.statuses), time.monotonic() + PATIENCE_S
            while drips:
                assert time.monotonic() < until
                for drip in drips:
                    with suppress(ConnectionError):
                        drip.sendall(b" ")
                cut_off, _, _ = select.select(drips, [], [], 0.2)
                assert not cut_off or len(seen.statuses) > before
                for drip in cut_off:
                    assert drip.recv(100).startswith(b"HTTP/1.1 503 ")
                    drips.remove(drip)
                time.sleep(0.2)

    undisturbed(drip_until_cut_off)


ENDLESS = {
    "header": (b"GET /healthz HTTP/1.1\r\nA: ", b"a" * 60_000),
    "headers": (b"GET /healthz HTTP/1.1\r\n", b"A: b\r\n" * 10_000),
    "url": (b"GET /", b"a" * 60_000),
    "trailers": (
        b"POST /v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        b"A: b\r\n" * 10_000,
    ),
}


@pytest.mark.parametrize("part", ENDLESS)
def test_slow_heads_and_trailers_are_cut_off_too(target: CollectorProcess, part: str) -> None:
    start, more = ENDLESS[part]
    with socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE_S) as connection, neighbour(target):
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            for _ in range(1_000):
                connection.sendall(more)
    assert target.peak_mb() < MAX_MB


def test_a_thousand_open_connections_are_all_served(target: CollectorProcess) -> None:
    body = json.dumps(EVENT).encode()
    target.forget()
    with ExitStack() as stack:
        connections = []
        with neighbour(target):
            for _ in range(1000):
                connection = stack.enter_context(
                    socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE_S)
                )
                connections.append(connection)
            for connection in connections:
                connection.sendall(_head(target, len(body)) + body)
            for connection in connections:
                assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert sum(json.loads(line)["project_id"] == "shop" for line in target.landed()) == 1000


def test_a_full_disk_gives_503_and_needs_no_restart(small_disk: Path, tmp_path: Path) -> None:
    with collecting(tmp_path / "radar", landing_url=small_disk.as_uri()) as collector:
        assert collector.send([{"event": "a", "event_id": "before"}]).status == 200
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"0" * 4096)
        large = [{"event": "a", "event_id": "refused", "properties": {"text": "x" * 30_000}}] * 10
        reply = collector.send(large)
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        ready = collector.request("GET", "/readyz")
        assert (ready.status, ready.json()["status"].partition(":")[0]) == (503, "landing zone")
        assert collector.request("GET", "/healthz").status == 200
        filler.unlink()
        assert collector.send([{"event": "a", "event_id": "after"}]).status == 200
        assert collector.request("GET", "/readyz").status == 200
        assert {event["event_id"] for event in collector.events()} == {"before", "after"}
        assert collector.stop() == 0
        assert {event["event_id"] for event in collector.events()} == {"before", "after"}
