"""Bodies of other protocols are refused with what is expected, and bad events of a door's own land with all their content."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from radar_assets.collector.keys import create_key
from radar_assets.events.contract import Reason, Rejection, parse
from radar_assets_tests.collector.conftest import Collector
from radar_assets_tests.collector.test_doors import BATCHES, MESSAGES, SINGLE

SECRET = "secret-key"
AMPLITUDE = {"event_type": "seen", "user_id": "ann", "device_id": "d", "event_properties": {"plan": "pro"}}
FOREIGN: dict[str, Any] = {
    "amplitude": {"api_key": "KEY", "events": [AMPLITUDE] * 5},
    "ga4": {"client_id": "1.2", "events": [{"name": "seen", "params": {"plan": "pro"}}]},
    "openpanel": {"type": "track", "payload": {"name": "seen", "properties": {"plan": "pro"}}},
    "matomo": {"requests": ["?idsite=1&rec=1"], "token_auth": "KEY"},
    "countly": {"app_key": "KEY", "device_id": "d", "events": [{"key": "seen", "count": 1}]},
    "mixpanel": [{"$distinct_id": "ann", "$token": "KEY", "$set": {"plan": "pro"}}],
    "heap": {"app_id": "KEY", "identity": "ann", "event": "seen", "properties": {"plan": "pro"}},
    "cloudevents": {"specversion": "1.0", "type": "seen", "source": "/a", "id": "1", "data": {"plan": "pro"}},
    "webhook": {"action": "opened", "repository": {"id": 1}},
}
OWN = {
    **{door: body(MESSAGES[door]) for door, (_, body) in SINGLE.items()},
    **{f"{door}s": body([MESSAGES[door]] * 2) for door, (_, body) in BATCHES.items()},
}
ROUTES = {
    **{door: path for door, (path, _) in SINGLE.items()},
    **{f"{door}s": path for door, (path, _) in BATCHES.items()},
}
SHARED = {("segments", "posthogs"), ("posthogs", "segments")}
"""The names of their batches are the same, those of the messages within are not."""


def _send(collector: Collector, path: str, body: Any) -> Any:
    return collector.request(
        "POST", path, json.dumps(body).encode(), {"Authorization": f"Bearer {collector.keys['shop']}"}
    )


@pytest.fixture
def keyed(shared: Collector) -> Collector:
    """A collector that knows the keys of the messages, which are for the project `shop`."""
    for key in ("site", SECRET):
        if key not in shared.keys:
            shared.keys[key] = create_key(shared.store, "shop", value=key)
    return shared


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_another_protocol_is_refused_with_what_is_expected(keyed: Collector, route: str) -> None:
    foreign = {
        **FOREIGN,
        **{name: body for name, body in OWN.items() if name.removesuffix("s") != route.removesuffix("s")},
    }
    for name, body in foreign.items():
        reply = _send(keyed, ROUTES[route], body)
        assert reply.status == 400, (name, reply.body)
        assert b"expected" in reply.body or b"has to be" in reply.body
    assert keyed.landed() == []
    assert _send(keyed, ROUTES[route], OWN[route]).status in (200, 202)
    assert keyed.landed()


def test_a_picture_of_another_protocol_is_refused(keyed: Collector) -> None:
    reply = keyed.request("GET", f"/i?app_key=KEY&device_id=d&events={quote(json.dumps([{'key': 'seen'}]))}")
    assert reply.status == 400
    assert b"expected" in reply.body
    assert keyed.request("GET", "/i?aid=site&e=pv").status == 200


CONTENT = {"plan": "pro", "deep": [{"a": None, "text": "ünï"}]}
BAD: dict[str, list[dict[str, Any]]] = {
    "radar": [
        {"name": "seen", "user": CONTENT},
        {"event": 7, "user_id": "u", "more": CONTENT},
        {"event": "a", "person": CONTENT},
    ],
    "segment": [{"type": "track", "name": "seen", "user": CONTENT}, {"type": "click", "userId": "u", "more": CONTENT}],
    "posthog": [
        {"name": "seen", "person": CONTENT, "properties": {"token": SECRET, "a": 1}},
        {"event": "a", "who": CONTENT},
    ],
    "snowplow": [{"aid": "site", "custom": CONTENT}, {"aid": "site", "e": 7, "uid": "u", "custom": CONTENT}],
}


@pytest.mark.parametrize("door", BAD)
@pytest.mark.parametrize("place", [0, 1])
def test_a_bad_event_beside_a_good_one_lands_with_all_its_content(keyed: Collector, door: str, place: int) -> None:
    path, batch = BATCHES[door]
    keys = {"segment": {"writeKey": SECRET}, "posthog": {"api_key": SECRET, "token": SECRET}}.get(door, {})
    messages = [{**message, **keys} for message in BAD[door]]
    messages.insert(place * len(messages), MESSAGES[door])
    assert _send(keyed, path, batch(messages)).status == 200
    lines = keyed.landed()
    assert len(lines) == len(messages)
    landed = [line for line in lines if b"\xc3\xbcn\xc3\xaf" in line or b"\\u00fcn" in line]
    assert len(landed) == len(BAD[door])
    for line, message in zip(landed, BAD[door], strict=True):
        assert SECRET.encode() not in line
        verdict = parse(line, {"shop"}, keyed.settings.start_date)
        assert isinstance(verdict, Rejection)
        assert verdict.reason in (Reason.MISSING_FIELD, Reason.NO_VISITOR, Reason.WRONG_TYPE, Reason.UNKNOWN_TYPE)
        kept = json.loads(line)
        for name, value in message.items():
            assert {**kept, **kept["source"]}[name] == ({"a": 1} if name == "properties" else value)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/send", {"type": "click", "payload": {"website": "site", "url": "/", "more": CONTENT}}),
        ("/api/event", {"d": "site", "u": "https://a/", "n": 7, "more": CONTENT}),
        ("/v1/track", {"userId": "u", "writeKey": SECRET, "more": CONTENT}),
        ("/e/", {"event": "a", "distinct_id": ["u"], "api_key": SECRET, "more": CONTENT}),
    ],
)
def test_a_bad_event_alone_lands_with_all_its_content(keyed: Collector, path: str, body: dict[str, Any]) -> None:
    assert _send(keyed, path, body).status in (200, 202)
    [line] = keyed.landed()
    assert isinstance(parse(line, {"shop"}, keyed.settings.start_date), Rejection)
    assert json.loads(line)["source"]["more"] == CONTENT
    assert SECRET.encode() not in line


def test_of_a_bad_event_no_address_is_kept_either(keyed: Collector) -> None:
    packed = base64.urlsafe_b64encode(
        json.dumps({"data": {"schema": "a/b/c/1", "data": {"ip": "203.0.113.77"}}}).encode()
    ).decode()
    bad = {"aid": "site", "e": 7, "ue_px": packed, "ip": "203.0.113.77", "custom": {"userIp": "203.0.113.77"}}
    assert _send(keyed, "/com.snowplowanalytics.snowplow/tp2", {"data": [MESSAGES["snowplow"], bad]}).status == 200
    assert _send(keyed, "/v1/events", [MESSAGES["radar"], ["203.0.113.77"], {"ip": "203.0.113.77"}]).status == 200
    torn = b'{"event":"a","user_id":"u"}\n{"event":"b","context":{"ip":"203.0.113.77"\n:"203.0.113.78"}}'
    assert keyed.send(torn).status == 200
    lines = keyed.landed()
    assert len(lines) == 8
    for line in lines:
        for whole in (b"203.0.113.7", packed.encode()):
            assert whole not in line


def test_what_a_sender_calls_the_source_of_a_good_event_is_not_kept(keyed: Collector) -> None:
    assert _send(keyed, "/v1/events", [{**MESSAGES["radar"], "source": CONTENT}]).status == 200
    [event] = keyed.events()
    assert "source" not in event


def test_a_bad_event_that_is_too_large_for_a_line_lands_once(keyed: Collector) -> None:
    bad = {"event": "x" * 1_000_000, "more": CONTENT}
    assert _send(keyed, "/v1/events", [MESSAGES["radar"], bad]).status == 200
    line = keyed.landed()[1]
    assert len(line) < 1_100_000
    assert json.loads(line)["source"] == bad
