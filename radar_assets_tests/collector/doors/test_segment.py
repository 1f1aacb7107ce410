"""Segment's door: places of the key, members that messages get from their batch, and invalid messages in a batch."""

import base64
from typing import Any

import pytest

from radar_assets.collector.bodies import TooLargeError
from radar_assets.collector.door import Event, MalformedRequestError, Outcome
from radar_assets.collector.doors.segment import SegmentDoor
from radar_assets.collector.lines import encode_lines
from radar_assets.events.contract import MAX_PAYLOAD_BYTES, CanonicalEvent, Reason, Rejection
from radar_assets_tests.collector.wire import NOON, events, request, verdicts

DOOR = SegmentDoor()
BASIC = {"authorization": "Basic " + base64.b64encode(b"from-header:").decode()}


def message(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "seen", "userId": "ann", "messageId": "m", **fields}


@pytest.mark.parametrize(
    ("headers", "body", "key"),
    [
        (BASIC, {}, "from-header"),
        ({}, {"writeKey": "from-body"}, "from-body"),
        ({"authorization": "Bearer an-oauth-token"}, {"writeKey": "from-body"}, "from-body"),
        ({"x-write-key": "id:secret"}, {"writeKey": "id:***"}, "id:secret"),
        ({}, {"writeKey": 7}, None),
    ],
)
def test_the_key_can_be_in_the_header_or_the_body(
    headers: dict[str, str], body: dict[str, Any], key: str | None
) -> None:
    assert DOOR.read(request("/v1/batch", {"batch": [message()], **body}, headers)).key == key
    assert DOOR.read(request("/v1/track", message(**body), headers)).key == key


@pytest.mark.parametrize("path", ["/v1/page", "/v1/p", "/api/s/page"])
def test_the_type_of_a_single_message_is_that_of_its_route(path: str) -> None:
    (event,) = events(DOOR, request(path, {"anonymousId": "a", "properties": {"url": "https://shop.example/"}}))
    assert (event.type, event.event, event.anonymous_id) == ("page", "page_view", "a")
    assert event.timestamp == NOON


def test_a_batch_gives_its_messages_what_they_lack() -> None:
    shared = {"sentAt": "2026-03-10T12:00:00Z", "context": {"userAgent": "all", "locale": "de"}}
    own = message(context={"userAgent": "mine"}, sentAt="2026-03-10T11:59:00Z")
    first, second = events(DOOR, request("/v1/batch", {"batch": [message(), own], **shared}))
    assert (first.sent_at, first.context) == (NOON, shared["context"])
    assert second.sent_at != NOON
    assert second.context == {"userAgent": "mine", "locale": "de"}


def test_a_batchs_context_is_decoded_once_or_refused_if_too_large() -> None:
    context = {str(number): 1 for number in range(3_000)}
    batch = DOOR.read(request("/v1/batch", {"batch": [message()] * 300, "context": context}))
    assert len({id(event.context) for event in batch.events if isinstance(event, Event)}) == 1
    many = {"batch": [message(context={"own": 1})] * 1_000, "context": context}
    for sent in (many, {"batch": [message()], "context": {"text": "a" * MAX_PAYLOAD_BYTES}}):
        with pytest.raises(TooLargeError, match="the batch's context"):
            DOOR.read(request("/v1/batch", sent))


def test_a_key_of_a_message_is_not_kept() -> None:
    sent = request("/v1/batch", {"writeKey": "mine", "batch": [message(writeKey="another's"), "text"]})
    batch = DOOR.read(sent)
    assert batch.key == "mine"
    assert b"another's" not in encode_lines(batch.events, "shop", "segment", NOON, "truncated")


def test_bad_messages_become_rejected_lines_beside_good_ones() -> None:
    batch = [
        message(messageId="1"),
        "text",
        message(messageId="2", userId={"an": "object"}),
        {"type": "track", "event": "nobody's"},
        message(messageId="3", properties="none"),
        message(messageId="4", timestamp="yesterday"),
        message(messageId="5"),
    ]
    found = verdicts(DOOR, request("/v1/batch", {"batch": batch}))
    assert [verdict.event_id for verdict in found if isinstance(verdict, CanonicalEvent)] == ["1", "3", "4", "5"]
    assert [verdict.reason for verdict in found if isinstance(verdict, Rejection)] == [
        Reason.NOT_AN_OBJECT,
        Reason.NO_VISITOR,
        Reason.NO_VISITOR,
    ]


@pytest.mark.parametrize("body", [[], {"batch": "none"}, {}, 7])
def test_invalid_batches_are_refused_with_the_reason(body: Any) -> None:
    with pytest.raises(MalformedRequestError, match=r"a JSON object with an array named batch: .+"):
        DOOR.read(request("/v1/batch", body))


def test_traits_are_not_taken_for_title_or_revenue() -> None:
    traits = {"title": "Dr", "revenue": 5}
    for sent in (
        message(type="identify", event=None, traits=traits),
        message(type="identify", event=None, context={"traits": traits}),  # RudderStack's Python SDK
        message(type="group", event=None, groupId=7, traits=traits),
    ):
        (event,) = events(DOOR, request("/v1/batch", {"batch": [sent]}))
        assert event.properties is not None
        assert event.properties["traits"] == traits
        assert not {"title", "revenue"} & event.properties.keys()
    assert event.properties["group_id"] == "7"


def test_ids_may_be_numbers() -> None:
    (event,) = events(DOOR, request("/v1/alias", {"userId": 7, "anonymousId": 8, "previousId": 9}))
    assert (event.user_id, event.anonymous_id, event.properties) == ("7", "8", {"alias_id": "9"})


def test_rudderstacks_session_and_times_are_understood() -> None:
    sent = message(originalTimestamp="2026-03-10T11:00:00Z", context={"sessionId": 1741600000000})
    (event,) = events(DOOR, request("/v1/track", sent))
    assert (event.timestamp.hour, event.session_id) == (11, "1741600000000")


def test_a_name_becomes_the_title_of_a_page_without_one() -> None:
    for properties, title in (({}, "Home"), ({"title": "Welcome"}, "Welcome")):
        sent = message(type="page", event=None, name="Home", properties=properties)
        (event,) = events(DOOR, request("/v1/page", sent))
        assert event.properties == {"name": "Home", "title": title}


def test_responses_have_the_members_that_sdks_show() -> None:
    sent = request("/v1/batch", {"batch": []})
    assert DOOR.answer(sent, Outcome.ACCEPTED).body == b'{"success":true}'
    refused = DOOR.answer(sent, Outcome.UNAUTHORIZED, "no such key")
    assert (refused.status, refused.body) == (401, b'{"success":false,"code":"unauthorized","message":"no such key"}')
