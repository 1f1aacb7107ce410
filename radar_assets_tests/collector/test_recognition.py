"""Bodies of other protocols are refused with the expected format; invalid events of a door's own land with all their content."""

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest

from radar_assets.events.contract import CanonicalEvent, Reason, Rejection, parse
from radar_assets_tests.collector.conftest import Collector, send
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
"""Their batches have the same members, but their messages don't."""


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_another_protocol_is_refused_with_the_expected_format(keyed: Collector, route: str) -> None:
    foreign = {
        **FOREIGN,
        **{name: body for name, body in OWN.items() if name.removesuffix("s") != route.removesuffix("s")},
    }
    for name, body in foreign.items():
        reply = send(keyed, ROUTES[route], body)
        assert reply.status == 400, (name, reply.body)
        assert b"expected" in reply.body or b"has to be" in reply.body
    assert keyed.landed() == []
    assert send(keyed, ROUTES[route], OWN[route]).status in (200, 202)
    assert keyed.landed()


def test_a_pixel_of_another_protocol_is_refused(keyed: Collector) -> None:
    reply = keyed.request("GET", f"/i?app_key=KEY&device_id=d&events={quote(json.dumps([{'key': 'seen'}]))}")
    assert reply.status == 400
    assert b"expected" in reply.body
    assert keyed.request("GET", "/i?aid=site&e=pv").status == 200


CONTENT = {"plan": "pro", "deep": [{"a": None, "text": "ünï"}]}
BAD: dict[str, list[dict[str, Any]]] = {
    "radar": [
        {"name": "seen", "user": CONTENT},
        {"event": ["x"], "user_id": "u", "more": CONTENT},
        {"event": "a", "person": CONTENT},
    ],
    "segment": [{"type": "track", "name": "seen", "user": CONTENT}, {"type": "click", "userId": "u", "more": CONTENT}],
    "posthog": [
        {"name": "seen", "person": CONTENT, "properties": {"token": SECRET, "a": 1}},
        {"event": "a", "who": CONTENT},
    ],
    "snowplow": [{"aid": "site", "custom": CONTENT}, {"aid": "site", "e": ["x"], "uid": "u", "custom": CONTENT}],
}


@pytest.mark.parametrize("door", BAD)
@pytest.mark.parametrize("position", [0, 1])
def test_an_invalid_event_beside_a_valid_one_lands_with_all_its_content(
    keyed: Collector, door: str, position: int
) -> None:
    path, batch = BATCHES[door]
    keys = {"segment": {"writeKey": SECRET}, "posthog": {"api_key": SECRET, "token": SECRET}}.get(door, {})
    messages = [{**message, **keys} for message in BAD[door]]
    messages.insert(position * len(messages), MESSAGES[door])
    assert send(keyed, path, batch(messages)).status == 200
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
        known = {"userId": "user_id", "uid": "user_id", "e": "event"}
        for name, value in message.items():
            if name != "aid":
                held = {**kept, **kept.get("context", {}).get("unknown_members", {})}
                assert held[known.get(name, name)] == ({"a": 1} if name == "properties" else value)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/send", {"type": "click", "payload": {"website": "site", "url": "/", "more": CONTENT}}),
        ("/api/event", {"d": "site", "u": "https://a/", "n": ["x"], "more": CONTENT}),
        ("/v1/track", {"userId": "u", "writeKey": SECRET, "more": CONTENT}),
        ("/e/", {"event": "a", "distinct_id": ["u"], "api_key": SECRET, "more": CONTENT}),
    ],
)
def test_an_invalid_event_alone_lands_with_all_its_content(keyed: Collector, path: str, body: dict[str, Any]) -> None:
    assert send(keyed, path, body).status in (200, 202)
    [line] = keyed.landed()
    assert isinstance(parse(line, {"shop"}, keyed.settings.start_date), Rejection)
    assert json.loads(line)["context"]["unknown_members"]["more"] == CONTENT
    assert SECRET.encode() not in line


def test_addresses_in_invalid_events_are_not_stored_either(keyed: Collector) -> None:
    packed = base64.urlsafe_b64encode(
        json.dumps({"data": {"schema": "a/b/c/1", "data": {"ip": "203.0.113.77"}}}).encode()
    ).decode()
    bad = {"aid": "site", "e": 7, "ue_px": packed, "ip": "203.0.113.77", "custom": {"userIp": "203.0.113.77"}}
    assert send(keyed, "/com.snowplowanalytics.snowplow/tp2", {"data": [MESSAGES["snowplow"], bad]}).status == 200
    assert send(keyed, "/v1/events", [MESSAGES["radar"], ["203.0.113.77"], {"ip": "203.0.113.77"}]).status == 200
    torn = b'{"event":"a","user_id":"u"}\n{"event":"b","context":{"ip":"203.0.113.77"\n:"203.0.113.78"}}'
    assert keyed.send(torn).status == 200
    lines = keyed.landed()
    assert len(lines) == 8
    for line in lines:
        for whole in (b"203.0.113.7", packed.encode()):
            assert whole not in line


GOOD = {
    **{
        f"/v1/events of {name}": ("/v1/events", body, MESSAGES["radar"])
        for name, body in {
            "one": lambda event: event,
            "list": lambda event: [event],
            "envelope": lambda event: {"events": [event]},
        }.items()
    },
    "/v1/batch": ("/v1/batch", lambda event: {"batch": [event]}, MESSAGES["segment"]),
    "/v1/track": ("/v1/track", lambda event: event, MESSAGES["segment"]),
    "/batch/": ("/batch/", lambda event: {"batch": [event]}, MESSAGES["posthog"]),
    "/e/": ("/e/", lambda event: event, MESSAGES["posthog"]),
    "tp2": ("/com.snowplowanalytics.snowplow/tp2", lambda event: {"data": [event]}, MESSAGES["snowplow"]),
    "/api/send": ("/api/send", lambda event: {"type": "event", "payload": event}, MESSAGES["umami"]),
    "/api/send beside": (
        "/api/send",
        lambda event: {"type": "event", "payload": MESSAGES["umami"], **event},
        {"revenue": 1},
    ),
    "/api/event": ("/api/event", lambda event: event, MESSAGES["plausible"]),
}


@pytest.mark.parametrize("way", GOOD)
def test_unknown_members_of_a_valid_event_are_kept_in_its_context(keyed: Collector, way: str) -> None:
    path, body, message = GOOD[way]
    unknown = {"revenue_x": 12, "event_properties": CONTENT, "client": {"ip": "203.0.113.77"}, "nothing": None}
    assert send(keyed, path, body({**message, **unknown})).status in (200, 202)
    [line] = keyed.landed()
    event = parse(line, {"shop"}, keyed.settings.start_date)
    assert isinstance(event, CanonicalEvent)
    assert event.context
    kept = event.context["unknown_members"]
    assert (kept["revenue_x"], kept["event_properties"]) == (12, CONTENT)
    assert kept["client"] == {"ip": "203.0.113.0"}
    assert "nothing" not in kept

    keyed.forget()
    assert send(keyed, path, body(message)).status in (200, 202)
    [line] = keyed.landed()
    without = parse(line, {"shop"}, keyed.settings.start_date)
    assert isinstance(without, CanonicalEvent)
    counted = ("type", "event", "user_id", "anonymous_id", "session_id", "category", "properties")
    assert [getattr(event, name) for name in counted] == [getattr(without, name) for name in counted]


UNUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "/v1/track",
        {"userId": "u", "event": "a", "name": "n", "traits": CONTENT, "groupId": 7},
        {"name": "n", "traits": CONTENT, "groupId": 7},
    ),
    ("/v1/page", {"userId": "u", "name": "n", "previousId": "p"}, {"previousId": "p"}),
    (
        "/v1/track",
        {"userId": "u", "event": "a", "context": {"unknown_members": 7}, "more": 1},
        {"unknown_members": 7, "more": 1},
    ),
    ("/api/event", {"d": "site", "n": "a", "u": "https://a/", "revenue": 12}, {"revenue": 12}),
    ("/api/event", {"d": "site", "n": "a", "u": "https://a/", "p": {"a": 1}, "meta": {"b": 1}}, {"meta": {"b": 1}}),
    (
        "/api/send",
        {"type": "identify", "payload": {"website": "site", "id": "u", "name": "n", "os": "Linux"}},
        {"name": "n", "os": "Linux"},
    ),
    (
        "/com.snowplowanalytics.snowplow/tp2",
        {"data": [{"aid": "site", "e": "pv", "uid": "u", "se_la": "l"}]},
        {"se_la": "l"},
    ),
]


@pytest.mark.parametrize(("path", "body", "kept"), UNUSED, ids=range(len(UNUSED)))
def test_known_members_that_an_event_does_not_use_are_kept_too(
    keyed: Collector, path: str, body: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert send(keyed, path, body).status in (200, 202)
    [line] = keyed.landed()
    event = parse(line, {"shop"}, keyed.settings.start_date)
    assert isinstance(event, CanonicalEvent)
    assert event.context
    assert event.context["unknown_members"] == kept


def test_unknown_members_are_kept_if_the_context_is_missing_or_invalid(keyed: Collector) -> None:
    assert send(keyed, "/v1/events", {**MESSAGES["radar"], "context": "none", "more": CONTENT}).status == 200
    [event] = keyed.events()
    assert (event["context"], event["unknown_members"]) == ("none", {"more": CONTENT})


KEYED = {
    "radar": ({"key": SECRET}, "sent_at"),
    "segment": ({"writeKey": SECRET}, "sentAt"),
    "posthog": ({"api_key": SECRET, "token": SECRET, "properties": {"token": SECRET, "a": 1}}, "offset"),
    "snowplow": ({"aid": "site"}, "dtm"),
}


@pytest.mark.parametrize("door", KEYED)
@pytest.mark.parametrize("number", ["1e400", "1"])
@pytest.mark.parametrize("more", [{}, {"more": CONTENT}, {"event": 7, "e": 7, "more": CONTENT}])
def test_no_write_key_is_stored(keyed: Collector, door: str, number: str, more: dict[str, Any]) -> None:
    path, batch = BATCHES[door]
    keys, timed = KEYED[door]
    body = json.dumps(batch([MESSAGES[door], {**MESSAGES[door], **keys, timed: "NUMBER", **more}]))
    reply = keyed.request(
        "POST", path, body.replace('"NUMBER"', number).encode(), {"Authorization": f"Bearer {keyed.keys['shop']}"}
    )
    assert reply.status == 200
    lines = keyed.landed()
    assert len(lines) == 2
    for line in lines:
        for key in (SECRET, '"site"', '\\"site'):
            assert key.encode() not in line


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/send", {"type": "click", "payload": {"website": "site", "more": 1}}),
        ("/api/event", {"d": "site", "n": 7, "more": 1}),
        ("/api/event", {"domain": "site", "n": 7}),
    ],
)
def test_a_site_that_is_the_key_is_not_stored(keyed: Collector, path: str, body: dict[str, Any]) -> None:
    assert send(keyed, path, body).status in (200, 202)
    [line] = keyed.landed()
    assert b"site" not in line


def test_write_keys_in_torn_lines_are_not_stored(keyed: Collector) -> None:
    torn = b'{"event":"a","user_id":"u"}\n{"events":[{"event":"b"}],"key" : "secret-\\"key","a":\n{"key":"secret-'
    assert keyed.send(torn).status == 200
    lines = keyed.landed()
    assert len(lines) == 3
    assert b"secret" not in b"".join(lines)


def test_an_incomplete_event_lands_once_with_its_own_reason(keyed: Collector) -> None:
    large = {"text": "x" * 80_000}
    for path, message in (
        ("/v1/events", {"user_id": "u", "properties": large}),
        ("/v1/batch", {"type": "track", "userId": "u", "properties": large}),
        ("/batch/", {"distinct_id": "u", "properties": large}),
        ("/v1/events", {"user_id": "u", "more": large}),
    ):
        door = {"/v1/events": "radar", "/v1/batch": "segment", "/batch/": "posthog"}[path]
        keyed.forget()
        assert send(keyed, path, BATCHES[door][1]([MESSAGES[door], message])).status == 200
        line = keyed.landed()[1]
        assert len(line) < 81_000
        verdict = parse(line, {"shop"}, keyed.settings.start_date)
        assert isinstance(verdict, Rejection)
        assert verdict.reason == Reason.MISSING_FIELD


def test_incomplete_events_do_not_affect_a_valid_one_beside_them(keyed: Collector) -> None:
    nameless = {"user_id": "u", "properties": {"text": "x" * 16_000}}
    body = gzip.compress(json.dumps([nameless] * 3_900 + [MESSAGES["radar"]]).encode(), 1)
    assert keyed.send(body).status == 200
    assert b'"event":"seen"' in keyed.landed()[-1]


def test_a_body_without_any_object_is_refused_and_an_empty_object_is_a_rejected_event(keyed: Collector) -> None:
    for path, body in (
        ("/v1/events", [1, 2, "x"]),
        ("/v1/events", {"events": [None]}),
        ("/v1/batch", {"batch": [1], "writeKey": SECRET}),
        ("/batch/", {"batch": [[]], "api_key": SECRET}),
        ("/com.snowplowanalytics.snowplow/tp2", {"data": ["x"]}),
    ):
        reply = send(keyed, path, body)
        assert reply.status == 400
        assert b"expected" in reply.body
    assert keyed.landed() == []
    assert send(keyed, "/v1/events", {}).status == 200
    [line] = keyed.landed()
    verdict = parse(line, {"shop"}, keyed.settings.start_date)
    assert isinstance(verdict, Rejection)
    assert verdict.reason == Reason.MISSING_FIELD


@pytest.mark.parametrize("door", BATCHES)
@pytest.mark.parametrize("name", ["properties", "ue_pr", "unknown"])
def test_an_event_nested_too_deeply_affects_no_other(keyed: Collector, door: str, name: str) -> None:
    path, batch = BATCHES[door]
    deep = '{"a":' * 3_000 + '["SEEN"]' + "}" * 3_000
    body = json.dumps(batch([MESSAGES[door], {**MESSAGES[door], name: "DEEP"}, MESSAGES[door]])).replace('"DEEP"', deep)
    reply = keyed.request("POST", path, body.encode(), {"Authorization": f"Bearer {keyed.keys['shop']}"})
    assert reply.status == 200, reply.body
    verdicts = [parse(line, {"shop"}, keyed.settings.start_date) for line in keyed.landed()]
    assert [isinstance(verdict, CanonicalEvent) for verdict in verdicts] == [True, False, True]
    assert isinstance(verdicts[1], Rejection)
    assert verdicts[1].reason == Reason.TOO_DEEP
    assert b"SEEN" in keyed.landed()[1]
