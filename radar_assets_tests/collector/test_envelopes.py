"""Unknown members around the events of a batch: they are kept in each event, and what the protocol defines is applied."""

import json
from typing import Any

import pytest

from radar_assets_tests.collector.conftest import Collector, send
from radar_assets_tests.collector.test_doors import MESSAGES

ENVELOPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "radar": ("/v1/events", "events", {"sent_at": "2026-03-01T12:00:00Z"}),
    "segment": (
        "/v1/batch",
        "batch",
        {"sentAt": "2026-03-01T12:00:00Z", "integrations": {"All": True}, "messageId": "m", "sequence": 7},
    ),
    "posthog": ("/batch/", "batch", {"sent_at": "2026-03-01T12:00:00Z", "historical_migration": True}),
    "snowplow": (
        "/com.snowplowanalytics.snowplow/tp2",
        "data",
        {"schema": "iglu:com.acme/payload_data/jsonschema/1-0-4"},
    ),
}
"""Route, name of the events, and members of a batch that are used, or say nothing of its events."""
WITHOUT_UNUSED = {**MESSAGES, "segment": {"type": "track", "event": "seen", "messageId": "m", "userId": "u"}}


@pytest.mark.parametrize("door", ENVELOPES)
def test_unknown_members_of_a_batch_are_kept_in_each_of_its_events(keyed: Collector, door: str) -> None:
    path, events, known = ENVELOPES[door]
    names = {"radar": "key", "segment": "writeKey", "posthog": "api_key"}
    keys = {names[door]: keyed.keys["shop"]} if door in names else {}
    message = WITHOUT_UNUSED[door]
    unknown = {"plan": "pro", "deep": {"ip": "203.0.113.77", "a": [None]}, "nothing": None, "empty": ""}
    kept = {"plan": "pro", "deep": {"ip": "203.0.113.0", "a": [None]}}
    assert send(keyed, path, {**keys, **known, **unknown, events: [message, {**message, "plan": "own"}]}).status == 200
    first, second = keyed.landed()
    assert json.loads(first)["context"]["unknown_members"] == kept
    assert json.loads(second)["context"]["unknown_members"] == {**kept, "plan": "own"}
    assert keyed.keys["shop"].encode() not in first + second

    keyed.forget()
    assert send(keyed, path, {**keys, **known, events: [message]}).status == 200
    [line] = keyed.landed()
    assert b"unknown_members" not in line


@pytest.mark.parametrize("door", ENVELOPES)
def test_a_batch_whose_unknown_members_are_too_large_for_an_event_is_refused(keyed: Collector, door: str) -> None:
    path, events, _ = ENVELOPES[door]
    for unknown in ({"more": "x" * 33_000}, {f"m{number}": 1 for number in range(2_000)}):
        messages = [MESSAGES[door]] * (1 if "more" in unknown else 600)
        reply = send(keyed, path, {**unknown, events: messages})
        assert (reply.status, b"unknown members" in reply.body) == (413, True)
    assert keyed.landed() == []


def test_context_of_a_batch_that_is_not_an_object_is_kept_too(keyed: Collector) -> None:
    assert send(keyed, "/v1/batch", {"batch": [WITHOUT_UNUSED["segment"]], "context": ["a"]}).status == 200
    [event] = keyed.events()
    assert event["context"]["unknown_members"] == {"context": ["a"]}


@pytest.mark.parametrize("name", ["sent_at", "sentAt"])
def test_the_time_at_which_posthog_sent_a_batch_corrects_its_clock(keyed: Collector, name: str) -> None:
    message = {**MESSAGES["posthog"], "timestamp": "2026-03-01T11:00:00Z"}
    assert send(keyed, "/batch/", {"batch": [message], name: "2026-03-01T12:00:00Z"}).status == 200
    [event] = keyed.events()
    assert event["sent_at"] == "2026-03-01T12:00:00Z"
