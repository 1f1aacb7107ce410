"""The collector over HTTP, through Radar's own door: accepted and refused requests, and the responses."""

import gzip
import json
import re
import threading
import time
import zlib
from datetime import datetime
from typing import Any

import msgspec
import pytest

from radar_assets.access import keys
from radar_assets.access.keys import FRESH_S, create_key, read_grants, revoke_key
from radar_assets.access.projects import add_project
from radar_assets.collector.bodies import SMALL_BYTES
from radar_assets.events.contract import CanonicalEvent, parse
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Project
from radar_assets_tests.collector.conftest import Collector, serving

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}
LARGE = [{**EVENT, "properties": {"text": "a" * 100}}] * 2_000
"""Events of a request that counts as large."""


def test_an_event_lands_in_the_form_of_the_contract_before_the_response(shared: Collector) -> None:
    sent = {
        "event_id": "e-1",
        "type": "track",
        "event": "order",
        "user_id": "u-1",
        "timestamp": "2026-11-01T10:00:00Z",
        "properties": {"amount": 12.50, "items": [1, 2]},
    }
    assert shared.send(sent).status == 200
    [line] = shared.landed()
    event = parse(line, {"shop"}, shared.settings.start_date)
    assert isinstance(event, CanonicalEvent)
    assert (event.project_id, event.protocol, event.event_id) == ("shop", "radar", "e-1")
    assert event.timestamp == datetime(2026, 11, 1, 10)
    assert event.properties == {"amount": 12.5, "items": [1, 2]}
    assert b'"properties":{"amount": 12.5, "items": [1, 2]}' in line, "the payload stays the bytes that came"


def test_an_event_without_id_and_time_gets_them(shared: Collector) -> None:
    shared.send([EVENT, EVENT])
    first, second = shared.events()
    assert first["event_id"] != second["event_id"]
    for event in (first, second):
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event["event_id"])
        assert event["timestamp"] == event["received_at"]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b'{"event":"a"}', ["a"]),
        (b'[{"event":"a"},{"event":"b"}]', ["a", "b"]),
        (b'{"event":"a"}\n\n{"event":"b"}\r\n', ["a", "b"]),
        (b'{\n  "event": "a",\n  "properties": {\n    "b": 1\n  }\n}\n', ["a"]),
        (b'{"events":[{"event":"a"},{"event":"b"}],"sent_at":"2026-01-01T00:00:00Z"}', ["a", "b"]),
        (b'\n [ {"event":"a"} ] \n', ["a"]),
        (b"[]", []),
    ],
    ids=["object", "array", "lines", "laid-out", "envelope", "spaced", "empty"],
)
def test_events_can_be_one_object_an_array_or_lines(shared: Collector, body: bytes, events: list[str]) -> None:
    assert shared.send(body).status == 200
    assert [event["event"] for event in shared.events()] == events


def test_the_key_can_be_in_a_header_the_query_or_an_envelope(shared: Collector) -> None:
    key, event = shared.keys["shop"], json.dumps(EVENT).encode()
    basic = msgspec.json.encode(f"{key}:".encode()).decode().strip('"')
    assert shared.request("POST", "/v1/events", event, {"Authorization": f"Basic {basic}"}).status == 200
    assert shared.request("POST", f"/v1/events?key={key}", event).status == 200
    envelope = json.dumps({"key": key, "events": [EVENT]}).encode()
    assert shared.request("POST", "/v1/events", envelope, {"Content-Type": "text/plain"}).status == 200
    assert len(shared.events()) == 3


@pytest.mark.parametrize("authorization", ["", "Bearer nobody's", "Basic ???", "Basic bm9ib2R5OnA=", "Bearer "])
def test_without_a_valid_key_nothing_is_accepted(shared: Collector, authorization: str) -> None:
    reply = shared.request("POST", "/v1/events", json.dumps(EVENT).encode(), {"Authorization": authorization})
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert shared.landed() == []


def test_read_keys_can_not_write_and_write_keys_can_not_read(shared: Collector) -> None:
    read = create_key(shared.store, "shop", "read")
    assert shared.request("POST", f"/v1/events?key={read}", json.dumps(EVENT).encode()).status == 401
    assert shared.request("GET", f"/v1/live?key={shared.keys['shop']}").status == 401
    assert shared.request("GET", f"/v1/live?key={read}").status == 200
    assert shared.request("GET", f"/v1/live?key={read}&project=blog").status == 403


HIDDEN = [
    {"project_id": "blog", **EVENT},
    {"received_at": "2020-01-01T00:00:00Z", "protocol": "segment", **EVENT},
    [EVENT, [{"project_id": "blog", **EVENT}]],
    b'[{"event":"a"},{"project_id":"blog","anonymous_id":"a","event":1e999}]',
    b'{"event":"a"}\n{"project_id":"blog","event":"\\ud800","anonymous_id":"a"}',
    b'{"event":"a","properties":{"a":1\n,"b":"}\\n{\\"project_id\\":\\"blog\\"}"}}',
    b'{"event":"a"}\n{"project_id":"blog","event":"b"',
    b'["{\\"project_id\\":\\"blog\\"}", {"event":"a","event_id":"\\n{\\"project_id\\":\\"blog\\"}"}]',
]


@pytest.mark.parametrize("body", HIDDEN, ids=range(len(HIDDEN)))
def test_a_key_writes_to_its_own_project_whatever_is_sent(shared: Collector, body: Any) -> None:
    assert shared.send(body).status == 200
    lines = shared.landed()
    assert lines
    for line in lines:
        event = json.loads(line)
        assert not isinstance(event, dict) or (event["project_id"], event["protocol"]) == ("shop", "radar")
        parsed = parse(line, {"shop", "blog"}, shared.settings.start_date)
        assert not isinstance(parsed, CanonicalEvent) or parsed.project_id == "shop"


def test_an_element_that_is_not_an_event_becomes_a_rejected_line(shared: Collector) -> None:
    assert shared.send(b'[{"event":"a"}, 5, "text", null, [1,\n2], {"event":7,"properties":"none"}]').status == 200
    lines = shared.landed()
    assert len(lines) == 6
    assert json.loads(lines[0])["event"] == "a"
    assert lines[1:5] == [b"5\n", b'"text"\n', b"null\n", b"[1, 2]\n"]
    assert json.loads(lines[5])["event"] == 7


def test_a_lone_surrogate_does_not_cost_the_batch(shared: Collector) -> None:
    body = (
        rb'[{"event":"a","properties":{"title":"cut \ud83d","whole":"\ud83d\ude00","path":"C:\\ud83d"}},{"event":"b"}]'
    )
    assert shared.send(body).status == 200
    first, second = shared.events()
    assert first["properties"] == {"title": "cut \ufffd", "whole": "😀", "path": r"C:\ud83d"}
    assert second["event"] == "b"


@pytest.mark.parametrize(
    ("path", "list_name", "event"),
    [
        ("/v1/batch", "batch", {"type": "track", "event": "a", "userId": "ann"}),
        ("/batch/", "batch", {"event": "a", "distinct_id": "ann"}),
        ("/v1/events", "events", EVENT),
    ],
    ids=["segment", "posthog", "radar"],
)
def test_nan_and_infinity_do_not_cost_the_batch(
    shared: Collector, path: str, list_name: str, event: dict[str, Any]
) -> None:
    odd = {**event, "properties": {"a": float("nan"), "b": [float("-inf")], "c": 'NaN "Infinity"'}}
    body = json.dumps({list_name: [event, odd, event]}).encode()
    assert b'"a": NaN' in body
    assert shared.request("POST", f"{path}?key={shared.keys['shop']}", body).status == 200
    landed = shared.events()
    assert len(landed) == 3
    assert landed[1]["properties"] == {"a": None, "b": [None], "c": 'NaN "Infinity"'}


@pytest.mark.parametrize(
    "body", [b"", b"5", b"event=a", b"[{]", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5_000, b'{\n"event":"a",\n}']
)
def test_bodies_of_no_known_format_are_refused_with_the_reason(shared: Collector, body: bytes) -> None:
    reply = shared.send(body)
    assert reply.status == 400
    assert reply.json()["error"] == "malformed"
    assert shared.landed() == []


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("pack", "headers"),
    [
        (gzip.compress, {"Content-Encoding": "gzip"}),
        (gzip.compress, {"Content-Type": "application/x-www-form-urlencoded"}),
        (lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:]), {}),
        (zlib.compress, {"Content-Encoding": "deflate"}),
        (_raw_deflate, {"Content-Encoding": "deflate"}),
        (bytes, {"Content-Encoding": "gzip"}),
    ],
    ids=["gzip", "unlabelled", "members", "deflate", "raw-deflate", "inflated-on-the-way"],
)
@pytest.mark.parametrize("count", [1, 4000], ids=["small", "large"])
def test_compressed_bodies_are_detected_by_their_content(
    shared: Collector, pack: Any, headers: dict[str, str], count: int
) -> None:
    events = [{"event": "a", "anonymous_id": "x" * 100, "event_id": str(number)} for number in range(count)]
    assert shared.send(pack(json.dumps(events).encode()), **headers).status == 200
    assert [event["event_id"] for event in shared.events()] == [event["event_id"] for event in events]


@pytest.mark.parametrize("cut", [slice(0, -4), slice(0, 20)])
def test_a_truncated_compressed_body_is_malformed(shared: Collector, cut: slice) -> None:
    body = gzip.compress(json.dumps(EVENT).encode())
    assert shared.send(body[cut]).status == 400
    assert shared.send(body + b"more").status == 400
    assert shared.landed() == []


def test_a_request_can_have_at_most_5000_events(shared: Collector) -> None:
    assert shared.send([{"event": "a"}] * 5000).status == 200
    assert shared.send([{"event": "a"}] * 5001).status == 413
    assert len(shared.landed()) == 5000


def test_a_revoked_key_stops_working_within_seconds(collector: Collector) -> None:
    assert collector.send(EVENT).status == 200
    revoke_key(collector.store, collector.keys["shop"])
    _wait_for_refusal(collector)
    assert collector.send(EVENT, "blog").status == 200


def _wait_for_refusal(collector: Collector) -> None:
    """Wait until the key of `shop` is refused; fail if that takes too long, even for a machine that stalls."""
    deadline = time.monotonic() + 10 * FRESH_S
    while (status := collector.send(EVENT).status) == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert status == 401


@pytest.mark.parametrize("events", [[EVENT], LARGE], ids=["small", "large"])
def test_a_new_key_works_at_once_even_if_it_was_refused_before(shared: Collector, events: list[dict[str, Any]]) -> None:
    count = len(events)
    body, path = json.dumps(events).encode(), f"/v1/events?key=site-{count}"
    assert shared.request("POST", path, body).status == 401
    create_key(shared.store, "blog", value=f"site-{count}")
    assert shared.request("POST", path, body).status == 200
    assert [event["project_id"] for event in shared.events()] == ["blog"] * count


def test_large_requests_with_unknown_keys_delay_no_others(shared: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(LARGE).encode()
    assert len(body) > SMALL_BYTES
    statuses, reads = list[int](), list[Store]()
    monkeypatch.setattr(keys, "read_grants", lambda store: (reads.append(store), read_grants(store))[1])

    def knock(number: int) -> None:
        statuses.append(shared.request("POST", f"/v1/events?key=nobody-{number}", body).status)

    strangers = [threading.Thread(target=knock, args=(number,)) for number in range(20)]
    for stranger in strangers:
        stranger.start()
    assert shared.send(body).status == 200
    for stranger in strangers:
        stranger.join()
    assert statuses == [401] * 20
    # If each of them waited in turn for the keys to be read, the keys would be read 20 times.
    assert 0 < len(reads) < 10


def test_the_keys_of_an_inactive_project_are_refused(collector: Collector) -> None:
    with collector.store.session() as session:
        session.get_one(Project, "shop").is_active = False
    _wait_for_refusal(collector)
    assert collector.send(EVENT, "blog").status == 200


def test_while_the_store_is_down_known_keys_work_and_unknown_ones_are_deferred(collector: Collector) -> None:
    with collector.store.engine.begin() as connection:
        connection.exec_driver_sql("alter table api_keys rename to elsewhere")
    assert collector.request("POST", "/v1/events?key=unknown", json.dumps(EVENT).encode()).status == 503
    ready = collector.request("GET", "/readyz")
    assert (ready.status, ready.json()["status"].partition(":")[0]) == (503, "database")
    assert collector.request("GET", "/healthz").status == 200
    assert collector.send(EVENT).status == 200
    with collector.store.engine.begin() as connection:
        connection.exec_driver_sql("alter table elsewhere rename to api_keys")
    assert collector.request("POST", "/v1/events?key=unknown", json.dumps(EVENT).encode()).status == 401
    assert collector.request("GET", "/readyz").status == 200


def test_a_key_for_an_origin_only_accepts_events_of_its_pages(shared: Collector) -> None:
    key = create_key(shared.store, "shop", origins=["https://Shop.example/", "http://localhost:3000"])

    def status(**headers: str) -> int:
        return shared.request("POST", f"/v1/events?key={key}", json.dumps(EVENT).encode(), headers).status

    assert status(Origin="https://shop.example") == 200
    assert status(Origin="http://localhost:3000") == 200
    assert status(Referer="https://shop.example/a/b?c") == 200
    assert status(Origin="https://shop.example.evil.example") == 401
    assert status(Origin="http://shop.example") == 401
    assert status(Origin="null") == 401
    assert status(Referer="http://[broken/") == 401
    assert status() == 401
    assert status(Origin="https://evil.example", Referer="https://shop.example/") == 401


def test_a_rate_limit_is_enforced_with_a_retry_after(settings: Settings) -> None:
    store = open_store(settings.database)
    add_project(store, Project("shop", events_per_second=3))
    store.close()
    with serving(settings) as collector:
        assert collector.send([EVENT] * 30).status == 200
        reply = collector.send(EVENT)
        assert reply.status == 429
        assert 1 <= int(reply.headers["retry-after"]) <= 20
        assert collector.send([EVENT] * 100, "blog").status == 200
        assert len(collector.landed()) == 130
        figures = collector.request("GET", "/metrics").body.decode()
        assert 'radar_dropped_events_total{protocol="radar",reason="limited"} 1.0' in figures


def test_a_batch_larger_than_the_rate_limit_is_accepted_eventually(settings: Settings) -> None:
    with serving(load_settings(events_per_second=1)) as collector:
        assert collector.send([EVENT] * 500).status == 200
        assert collector.send(EVENT).status == 429


def test_a_quota_is_monthly_and_survives_a_restart(settings: Settings) -> None:
    limited = load_settings(events_per_month=5)
    with serving(limited) as collector:
        keys = collector.keys
        assert collector.send([EVENT] * 4).status == 200
        assert collector.send([EVENT] * 2).status == 429
        assert collector.send(EVENT).status == 200
    with serving(limited) as collector:
        collector.keys = keys
        reply = collector.send(EVENT)
        assert reply.status == 429
        assert 0 < int(reply.headers["retry-after"]) <= 31 * 86_400
        assert collector.send(EVENT, "blog").status == 200


@pytest.mark.parametrize(("kept", "expected"), [("truncated", "203.0.113.0"), ("full", "203.0.113.77"), ("none", None)])
def test_addresses_are_stored_as_the_setting_says(settings: Settings, kept: str, expected: str | None) -> None:
    payload = {"ip": "203.0.113.77", "page": {"url": "https://shop.example/"}}
    with serving(load_settings(client_address=kept)) as collector:
        assert collector.send([{**EVENT, "context": payload, "properties": {"$ip": "203.0.113.77"}}]).status == 200
        [event] = collector.events()
        assert event["context"] == {**payload, "ip": expected}
        assert event["properties"] == {"$ip": expected}
        assert (b"203.0.113.77" in collector.landed()[0]) == (kept == "full")


@pytest.mark.parametrize("header", ["DNT", "Sec-GPC"])
def test_events_of_browsers_with_dnt_or_gpc_are_dropped_if_so_set(settings: Settings, header: str) -> None:
    with serving(load_settings(respect_do_not_track=True)) as collector:
        assert collector.send(EVENT, **{header: "1"}).status == 200
        assert collector.landed() == []
        assert collector.send(EVENT, **{header: "0"}).status == 200
        assert len(collector.landed()) == 1
        assert 'reason="do_not_track"} 1.0' in collector.request("GET", "/metrics").body.decode()


def test_events_of_browsers_with_dnt_or_gpc_are_accepted_by_default(collector: Collector) -> None:
    collector.send(EVENT, DNT="1")
    assert len(collector.landed()) == 1


def test_metrics_count_requests_by_outcome(collector: Collector) -> None:
    collector.send([EVENT] * 3)
    collector.send(b"5")
    figures = collector.request("GET", "/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    assert 'radar_events_total{protocol="radar"} 3.0' in figures.body.decode()
    assert 'radar_requests_total{outcome="malformed",protocol="radar"} 1.0' in figures.body.decode()
    assert collector.request("GET", "/healthz").json() == {"status": "ok"}
    assert collector.request("GET", "/readyz").json() == {"status": "ok"}


def test_a_door_only_responds_to_its_methods_and_paths(shared: Collector) -> None:
    assert shared.request("GET", "/v1/events").status == 405
    assert shared.request("HEAD", "/v1/events").status == 405
    assert shared.request("POST", "/v1/events/", b"{}").status == 404
    assert shared.request("GET", "/nothing").status == 404


def test_the_script_is_served_compressed_and_cached(shared: Collector) -> None:
    plain = shared.request("GET", "/radar.js", headers={"Accept-Encoding": "identity"})
    packed = shared.request("GET", "/radar.js", headers={"Accept-Encoding": "gzip"})
    assert (gzip.decompress(packed.body), len(packed.body) < 2_000) == (plain.body, True)
    assert packed.headers["content-type"].startswith("text/javascript")
    again = shared.request("GET", "/radar.js", headers={"If-None-Match": packed.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_refusal_says_whether_the_key_is_missing_or_invalid(shared: Collector) -> None:
    body = json.dumps(EVENT).encode()
    invalid = shared.request("POST", "/v1/events", body, {"Authorization": "Bearer write_unknown"})
    missing = shared.request("POST", "/v1/events", body)
    assert (invalid.status, missing.status) == (401, 401)
    create = "create one with radar key create PROJECT"
    unknown = "key is unknown or revoked. radar key list lists the keys; "
    assert invalid.json()["detail"] == f"The write {unknown}{create}"
    assert missing.json()["detail"] == f"No key in the request. Send Authorization: Bearer <key>; {create}"
    invalid, missing = (shared.request("GET", path) for path in ("/v1/live?key=read_unknown", "/v1/live"))
    assert (invalid.status, missing.status) == (401, 401)
    assert f"The read {unknown}{create} --kind read" in invalid.body.decode()
    assert f"No key in the request. Send Authorization: Bearer <key>; {create} --kind read" in missing.body.decode()
