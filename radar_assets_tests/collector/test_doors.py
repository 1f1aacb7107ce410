"""All doors: recorded requests of SDKs are understood and count once however often they are sent, and no input breaks a door."""

import gzip
import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
import time_machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from radar_assets.access.keys import create_key
from radar_assets.collector.door import Door, MalformedRequestError, Outcome
from radar_assets.collector.doors import DOORS
from radar_assets.collector.hits import read_hit
from radar_assets.collector.lines import encode_lines
from radar_assets.events.contract import Rejection, parse
from radar_assets.settings import Settings
from radar_assets_tests.collector.conftest import Collector, serving
from radar_assets_tests.collector.wire import NOON, enriched, events, recorded, recorded_data, request

KEYS = ("wk_test", "k:s", "phc_testkey", "site", "94db1cb1-74f4-4a40-ad6c-962362670409")
"""When the recorded requests were received."""
COPIES = 3


@recorded_data
def test_recorded_requests_of_sdks_count_once_however_often_they_are_sent(settings: Settings) -> None:
    with serving(settings) as collector:
        for key in KEYS:
            create_key(collector.store, "shop", value=key)
        sent = list(recorded())
        # Copies without an id have to be received within a second.
        with time_machine.travel(datetime.now(UTC), tick=False) as clock:
            for method, path, body, headers, _ in sent:
                clock.shift(3)
                for _ in range(COPIES):
                    answer = collector.request(method, path, body or None, headers)
                    assert answer.status == 200, (path, answer.body)
        landed = collector.events()
    said = [message for _, path, _, _, body in sent for message in _messages(path, body)]
    assert len(landed) == COPIES * len(said)

    ids = [event["event_id"] for event in enriched(settings)]
    given_ids = [message[name] for message in said for name in ("messageId", "uuid", "eid") if name in message]
    # The recorded applications gave some events their own id, the same for each SDK.
    assert len(ids) == len(set(given_ids)) + len(said) - len(given_ids)
    assert set(given_ids) <= set(ids)


def test_a_cookieless_visitor_stays_the_same_after_a_restart(settings: Settings) -> None:
    visitors = set()
    for start in range(3):
        with serving(settings) as collector:
            if start == 0:
                create_key(collector.store, "shop", value="a.example")
            body = json.dumps({"n": "pageview", "u": f"https://a.example/{start}", "d": "a.example"}).encode()
            for _ in range(20):
                assert collector.request("POST", "/api/event", body).status == 202
            visitors |= {event["anonymous_id"] for event in collector.events()}
    assert len(visitors) == 1


def test_the_body_is_recognized_whatever_its_headers_say(collector: Collector) -> None:
    key = collector.keys["shop"]
    captured = {"event": "seen", "distinct_id": "ann", "properties": {"token": key}}
    track = {"userId": "ann", "event": "seen", "writeKey": key}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, body, headers in (
        ("/e/?compression=gzip-js", gzip.compress(json.dumps(captured).encode()), {"Content-Type": "text/plain"}),
        ("/v1/track", gzip.compress(json.dumps(track).encode()), form),
        ("/v1/track", json.dumps(track).encode(), {**form, "Content-Encoding": "gzip"}),
    ):
        assert collector.request("POST", path, body, headers).status == 200
    assert [event["event"] for event in collector.events()] == ["seen"] * 3


def _messages(path: str, body: Any) -> list[dict[str, Any]]:
    """The messages of a recorded request, by the specification of its protocol rather than its door."""
    if body is None:
        query = path.partition("?")[2]
        return [dict(pair.split("=", 1) for pair in query.split("&"))]
    return body.get("batch") or body.get("data") or [body]


@pytest.mark.parametrize(
    ("path", "batch"),
    [
        ("/v1/batch", {"batch": [{"type": "track", "event": "seen", "userId": "ann"}], "sentAt": "LONG"}),
        (
            "/batch/",
            {
                "batch": [{"event": "seen", "distinct_id": "ann", "timestamp": "2026-03-10T12:00:00Z"}],
                "sent_at": "LONG",
            },
        ),
        ("/v1/events", {"events": [{"event": "seen", "user_id": "ann"}], "sent_at": "LONG"}),
    ],
    ids=["segment", "posthog", "radar"],
)
def test_the_size_of_a_shared_time_is_limited(path: str, batch: dict[str, Any]) -> None:
    door = next(door for door in DOORS if ("POST", path) in door.routes)
    body = json.dumps(batch).encode()
    assert body.count(b'"LONG"') == 1
    for sent_at, expected in (
        (b'"2026-03-10T11:00:00Z"', datetime(2026, 3, 10, 11)),
        (b'"' + b"0" * 1_000 + b'"', None),
        (b"1" * 1_000, None),
        (b"[1]", None),
    ):
        (event,) = events(door, request(path, body.replace(b'"LONG"', sent_at)))
        assert event.sent_at == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = {
    "radar": "event_id type event user_id anonymous_id session_id timestamp sent_at properties context key",
    "segment": "type messageId event name userId anonymousId previousId groupId timestamp sentAt properties traits context "
    "writeKey",
    "posthog": "event uuid distinct_id timestamp offset properties $set api_key token sent_at",
    "snowplow": "e eid aid uid duid dtm stm ttm ue_pr ue_px co cx url refr se_ac se_va tr_tt res ip ua p",
    "umami": "website hostname url referrer name data id screen timestamp ip userAgent",
    "plausible": "n u d r w p m $ i e sd",
}
ODD = st.sampled_from(
    ["", "$identify", "$create_alias", "page", "alias", "ue", "se", '{"data":[]}', "1e400", "9" * 30, "\\", "\0"]
)


@st.composite
def bodies(draw: st.DrawFn, door: str) -> tuple[str, bytes]:
    """A path of a door, and a body with the members of its protocol and arbitrary values."""
    message = st.dictionaries(st.sampled_from(NAMES[door].split()), JSON | ODD, max_size=8)
    method, path = draw(st.sampled_from(next(each.routes for each in DOORS if each.name == door)))
    messages = st.lists(message | JSON, max_size=3)
    many = st.fixed_dictionaries({draw(st.sampled_from(["batch", "data", "events"])): messages})
    body = draw(message | many | st.fixed_dictionaries({"payload": message, "type": ODD | JSON}) | messages | JSON)
    return path, b"" if method == "GET" else json.dumps(body).encode()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@given(data=st.data())
def test_any_body_gives_complete_lines_or_is_refused(door: Door, data: st.DataObject) -> None:
    path, body = data.draw(bodies(door.name))
    sent = request(path, body)
    try:
        events = door.read(sent).events
    except (MalformedRequestError, msgspec.DecodeError, UnicodeError):
        return
    lines = encode_lines(events, "shop", door.name, NOON, "truncated") if events else b""
    assert lines.count(b"\n") == len(events)
    for line in lines.splitlines():
        verdict = parse(line, {"shop"}, NOON.date())
        assert isinstance(verdict, Rejection) or verdict.project_id == "shop"


PAGE = {"url": "https://a.example/", "title": "A"}
WHOLE = "203.0.113.77"
MESSAGES: dict[str, dict[str, Any]] = {
    "radar": {
        **{"event_id": "e", "type": "track", "event": "seen", "category": "c", "user_id": "u", "anonymous_id": "a"},
        **{"session_id": "s", "timestamp": "2026-03-10T12:00:00Z", "sent_at": "2026-03-10T12:00:00Z"},
        **{"properties": {"page": PAGE}, "context": {"page": PAGE}},
    },
    "segment": {
        **{
            "type": "track",
            "event": "seen",
            "messageId": "m",
            "name": "n",
            "category": "c",
            "userId": "u",
            "anonymousId": "a",
        },
        **{"previousId": "p", "groupId": "g", "timestamp": "2026-03-10T12:00:00Z", "sentAt": "2026-03-10T12:00:00Z"},
        **{"properties": {"page": PAGE}, "traits": {"plan": "pro"}, "context": {"page": PAGE, "sessionId": 7}},
    },
    "posthog": {
        **{"event": "seen", "uuid": "u", "distinct_id": "ann", "timestamp": "2026-03-10T12:00:00Z", "offset": 5},
        **{
            "properties": {"$current_url": "https://a.example/", "$device_id": "d"},
            "$set": {"plan": "pro"},
            "$set_once": {"a": 1},
        },
    },
    "snowplow": {
        **{
            "aid": "site",
            "e": "ue",
            "eid": "e",
            "uid": "u",
            "duid": "d",
            "dtm": "1773144000000",
            "stm": "1773144000000",
        },
        **{
            "ue_pr": {"schema": "a/b/c/1", "data": {"schema": "a/b/c/1", "data": {"a": 1}}},
            "co": {"data": []},
            "url": "https://a/",
        },
        **{"res": "1x1", "ua": "browser", "ip": WHOLE, "tv": "py", "p": "web"},
    },
    "umami": {
        **{
            "website": "site",
            "hostname": "a",
            "url": "/a",
            "referrer": "/b",
            "title": "A",
            "name": "seen",
            "data": {"a": 1},
        },
        **{
            "id": "ann",
            "tag": "t",
            "language": "de",
            "screen": "1x1",
            "timestamp": 1773140400,
            "ip": WHOLE,
            "userAgent": "b",
        },
    },
    "plausible": {
        **{"n": "seen", "u": "https://a/", "d": "site", "r": "https://b/", "w": 1, "p": {"a": 1}, "m": {"a": 1}},
        **{"$": {"amount": 1, "currency": "EUR"}, "i": True, "e": 1, "sd": 1},
    },
}
"""A message of each door with all possible members."""
BATCHES: dict[str, tuple[str, Any]] = {
    "radar": ("/v1/events", lambda messages: messages),
    "segment": ("/v1/batch", lambda messages: {"batch": messages, "context": {"ip": WHOLE}}),
    "posthog": ("/batch/", lambda messages: {"batch": messages}),
    "snowplow": ("/com.snowplowanalytics.snowplow/tp2", lambda messages: {"data": messages}),
}
SINGLE: dict[str, tuple[str, Any]] = {
    "radar": ("/v1/events", lambda message: message),
    "segment": ("/v1/track", lambda message: message),
    "posthog": ("/e/", lambda message: message),
    "umami": ("/api/send", lambda message: {"type": "event", "payload": message}),
    "plausible": ("/api/event", lambda message: message),
}
ABSENT = object()
ADDRESSES = [
    {name: value}
    for name in ("ip", "IP", "clientIp", "user_ip", "remote_addr", "$initial_ip", "network_userip", "x-forwarded-for")
    for value in (WHOLE, f"{WHOLE} (proxy)", [WHOLE, 7], {"v4": WHOLE}, "n/a", None)
]
PARTS = [
    *(
        ABSENT,
        None,
        "",
        {},
        [],
        "text",
        7,
        1.5,
        -1,
        True,
        [1],
        [[{"a": None}]],
        "203.0.113.0",
        10**30,
        1e300,
        "x" * 300,
        "\ud800",
    ),
    *ADDRESSES,
    [ADDRESSES[0]],
    {"a": {"b": ADDRESSES}},
]
"""Replacements for each part of a message."""


def _with(message: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**message, **parts}.items() if value is not ABSENT}


def _sent_over(collector: Collector, path: str, body: Any) -> tuple[int, list[bytes]]:
    collector.forget()
    headers = {"Authorization": f"Bearer {collector.keys['shop']}", "User-Agent": "test"}
    reply = collector.request("POST", path, json.dumps(body).encode(), headers)
    lines = collector.landed()
    for line in lines:
        verdict = parse(line, {"shop"}, NOON.date())
        assert isinstance(verdict, Rejection) or verdict.project_id == "shop"
        assert (read_hit(line) is None) == (isinstance(parse(line, {"shop"}, date.min), Rejection))
        assert WHOLE.encode() not in line
    return reply.status, lines


@pytest.fixture(params=MESSAGES)
def door_of(request: pytest.FixtureRequest, shared: Collector) -> str:
    """A door whose key belongs to the project `shop`."""
    if "site" not in shared.keys:
        shared.keys["site"] = create_key(shared.store, "shop", value="site")
    return request.param


def _check_batch(shared: Collector, door: str, messages: list[dict[str, Any]]) -> None:
    good = MESSAGES[door]
    path, batch = BATCHES[door]
    status, lines = _sent_over(shared, path, batch([good, *messages, good]))
    assert (status, len(lines)) == (200, len(messages) + 2), messages


def _check_single(shared: Collector, door: str, message: dict[str, Any]) -> None:
    path, body = SINGLE[door]
    status, lines = _sent_over(shared, path, body(message))
    assert (status, len(lines)) in ((200, 1), (202, 1), (400, 0), (401, 0)), message


def test_any_value_of_a_message_costs_at_most_that_message(door_of: str, shared: Collector) -> None:
    good = MESSAGES[door_of]
    for name in good:
        if door_of in BATCHES:
            _check_batch(shared, door_of, [_with(good, {name: part}) for part in PARTS])
        if door_of in SINGLE:
            for part in PARTS[:: 1 if door_of not in BATCHES else 7]:
                _check_single(shared, door_of, _with(good, {name: part}))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_any_combination_of_values_costs_at_most_that_message(
    door_of: str, shared: Collector, data: st.DataObject
) -> None:
    names = st.sampled_from(sorted(MESSAGES[door_of]))
    parts = data.draw(st.dictionaries(names, st.sampled_from(PARTS), min_size=2, max_size=6))
    message = _with(MESSAGES[door_of], parts)
    if door_of in BATCHES:
        _check_batch(shared, door_of, [message])
    if door_of in SINGLE:
        _check_single(shared, door_of, message)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
@pytest.mark.parametrize("outcome", Outcome)
def test_every_route_has_a_response_for_every_outcome(door: Door, outcome: Outcome) -> None:
    for method, path in door.routes:
        answer = door.answer(request(path, b"" if method == "GET" else b"{}"), outcome, "why")
        assert (answer.status < 300) == (outcome is Outcome.ACCEPTED)
        assert answer.status in (200, 202, 400, 401, 413, 429, 503)
