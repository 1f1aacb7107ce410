"""A defect in a body costs at most the event that has it, in every protocol; byte order marks cost nothing."""

import base64
import codecs
import json
from typing import Any

import pytest

from radar_assets.collector.door import MalformedRequestError
from radar_assets.collector.doors import DOORS
from radar_assets.collector.intake import read_batch
from radar_assets.collector.lines import encode_lines
from radar_assets.settings import Settings
from radar_assets_tests.collector.wire import NOON, request
from radar_assets_tests.truth.traffic import received, requests_of

KEY = "key-bytes"
DEFECTS = {
    "latin-1": b"caf\xe9",
    "cut in a character": b"caf\xc3",
    "surrogates in UTF-8": b"\xed\xa0\xbd\xed\xb8\x80",
    "not a byte of UTF-8": b"a\xff\xfeb",
    "NUL": b"a\x00b",
    "tab": b"a\tb",
    "line feed": b"a\nb",
    "escape character": b"a\x1bb",
    "lone surrogate": rb"a\ud83d",
    "unknown escape": rb"C:\xampp\new",
    "short escape": rb"a\u12",
    "escaped apostrophe": rb"it\'s",
}
"""Contents of a JSON string."""
BROKEN = {"no value": b"", "not a literal": b"undefined", "comma": b"1,", "number": b".5", "apostrophes": b"'a'"}
"""What is in place of a JSON value."""


def segment(place: str, number: int, text: str) -> dict[str, Any]:
    event = {"type": "track", "messageId": f"m{number}", "userId": "u", "event": "e", "properties": {"p": text}}
    return {**event, **({} if place == "property" else {place: text})}


def posthog(place: str, number: int, text: str) -> dict[str, Any]:
    event = {"event": "e", "uuid": f"m{number}", "distinct_id": "u", "properties": {"p": text}}
    return {**event, **({} if place == "property" else {place: text})}


def snowplow(place: str, number: int, text: str) -> dict[str, Any]:
    event = {"e": "se", "aid": KEY, "eid": f"m{number}", "uid": "u", "se_ac": "e", "se_la": text}
    return {**event, **({} if place == "property" else {place: text})}


def radar(place: str, number: int, text: str) -> dict[str, Any]:
    event = {"event": "e", "event_id": f"m{number}", "user_id": "u", "properties": {"p": text}}
    return {**event, **({} if place == "property" else {place: text})}


BATCHES = [
    ("/v1/batch", segment, ("event", "userId", "property"), lambda events: {"writeKey": KEY, "batch": events}),
    ("/batch/", posthog, ("event", "distinct_id", "property"), lambda events: {"api_key": KEY, "batch": events}),
    (f"/e/?key={KEY}", posthog, ("event", "property"), lambda events: events),
    (
        "/com.snowplowanalytics.snowplow/tp2",
        snowplow,
        ("se_ac", "uid", "property"),
        lambda events: {"schema": "iglu:payload_data", "data": events},
    ),
    (f"/v1/events?key={KEY}", radar, ("event", "user_id", "property"), lambda events: events),
    ("/v1/events", radar, ("event", "property"), lambda events: {"key": KEY, "events": events}),
]


def landed(path: str, body: bytes) -> list[Any]:
    """The lines of a request: objects, or the text of what is not an event."""
    route = path.partition("?")[0]
    door = next(door for door in DOORS if ("POST", route) in door.routes)
    batch = read_batch(door, request(path, body))
    assert batch.key == KEY
    lines = encode_lines(batch.events, "shop", door.name, NOON, "truncated")
    return [json.loads(line) for line in lines.splitlines()]


def ids(lines: list[Any]) -> list[str]:
    return [line["event_id"] for line in lines if isinstance(line, dict)]


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_event_with_a_defect_is_kept_with_its_neighbours(defect: str) -> None:
    for path, event, places, batch in BATCHES:
        for place in places:
            events = [event(place, number, "HERE" if number == 1 else "fine") for number in range(3)]
            body = json.dumps(batch(events)).encode().replace(b"HERE", DEFECTS[defect])
            assert ids(landed(path, body)) == ["m0", "m1", "m2"], (path, place)


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_event_that_is_not_json_becomes_a_rejected_line_among_its_neighbours(broken: str, at: int) -> None:
    for path, event, _, batch in BATCHES:
        events = [event("property", number, "HERE" if number == at else 'fi[{n"e') for number in range(3)]
        body = json.dumps(batch(events)).encode().replace(b'"HERE"', BROKEN[broken])
        lines = landed(path, body)
        assert ids(lines) == [f"m{number}" for number in range(3) if number != at], path
        assert isinstance(lines[at], str)
        assert f"m{at}" in lines[at]
        assert KEY not in lines[at] or path.startswith("/com.")


@pytest.mark.parametrize("defect", DEFECTS)
def test_requests_of_single_events_survive_a_defect(defect: str) -> None:
    plausible = {"n": "HERE", "u": "https://a.example/", "d": KEY}
    umami = {"type": "event", "payload": {"website": KEY, "url": "/", "name": "HERE", "title": "HERE"}}
    for path, event in (
        ("/api/event", plausible),
        ("/api/event", {**plausible, "n": "pageview", "p": {"author": "HERE"}}),
        ("/api/send", umami),
        ("/v1/track", {**segment("event", 0, "HERE"), "writeKey": KEY}),
        ("/capture/", {**posthog("property", 0, "HERE"), "api_key": KEY}),
    ):
        body = json.dumps(event).encode().replace(b"HERE", DEFECTS[defect])
        assert len(ids(landed(path, body))) == 1, path


def test_byte_order_marks_are_ignored() -> None:
    mark = codecs.BOM_UTF8
    for path, event, _, batch in BATCHES:
        body = json.dumps(batch([event("event", 0, "é"), event("event", 1, "b")]), ensure_ascii=False)
        for sent in (mark + body.encode(), body.encode("utf-16")):
            assert ids(landed(path, sent)) == ["m0", "m1"], path
    lines = [mark + json.dumps(radar("event", number, "é")).encode() for number in range(3)]
    found = landed(f"/v1/events?key={KEY}", b"\r\n".join(lines))
    assert ids(found) == ["m0", "m1", "m2"]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_line_that_is_not_json_costs_no_other(at: int) -> None:
    lines = [json.dumps(radar("event", number, "e")).encode() for number in range(3)]
    lines[at] = lines[at].replace(b'"e"', b"undefined", 1)
    found = landed(f"/v1/events?key={KEY}", b"\n".join(lines))
    assert ids(found) == [f"m{number}" for number in range(3) if number != at]


def test_packed_values_survive_a_defect() -> None:
    data = json.dumps({"api_key": KEY, "batch": [posthog("event", number, "HERE") for number in range(2)]}).encode()
    schema = {
        "schema": "iglu:com.acme/unstruct/jsonschema/1-0-0",
        "data": {"schema": "iglu:a/click/b/1-0-0", "data": {"p": "HERE"}},
    }
    for defect in (b"caf\xe9", b"a\tb"):
        form = b"data=" + base64.b64encode(data.replace(b"HERE", defect)).replace(b"+", b"%2B")
        assert ids(landed("/e/?compression=base64", form)) == ["m0", "m1"]
    packed = base64.urlsafe_b64encode(json.dumps(schema).encode().replace(b"HERE", b"caf\xe9")).decode()
    events = [{"e": "ue", "aid": KEY, "eid": "m0", "uid": "u", "ue_px": packed}]
    (line,) = landed("/com.snowplowanalytics.snowplow/tp2", json.dumps({"data": events}).encode())
    assert (line["event"], line["properties"]) == ("click", {"p": "caf\ufffd"})


def test_what_is_no_batch_is_still_refused() -> None:
    for path in ("/v1/batch", "/batch/", "/com.snowplowanalytics.snowplow/tp2", f"/v1/events?key={KEY}", "/api/event"):
        for body in (b" ", b"\xef\xbb\xbf", b"caf\xe9", b'{"batch": ', b'{"batch": 5}', b"[{}", b'{"a" 1}'):
            with pytest.raises(MalformedRequestError):
                landed(path, body)


def test_the_case_of_a_batch_with_one_bad_event(settings: Settings) -> None:
    with received(settings, requests_of("batch-with-one-bad-event"), "batch-with-one-bad-event") as traffic:
        assert {reply.status for reply in traffic.replies} == {200}
        kept = dict(traffic.rows("select event_id, event from events"))
        assert kept.keys() >= {"bb-1", "bb-4", "bb-5", "bb-6", "bb-7", "bb-8", "bb-9"}
        assert kept["bb-6"] == "caf\ufffd"
        assert len(kept) + len(traffic.rows("select detail from rejected_events")) == 9
