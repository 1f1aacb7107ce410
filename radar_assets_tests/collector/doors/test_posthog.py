"""PostHog's door: the meaning of distinct ids, the formats of requests, and responses that SDKs accept."""

import base64
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from radar_assets.collector.door import MalformedRequestError, Outcome
from radar_assets.collector.doors.posthog import PostHogDoor
from radar_assets.collector.lines import encode_lines
from radar_assets.events.contract import CanonicalEvent, Reason, Rejection
from radar_assets_tests.collector.wire import NOON, events, request, verdicts

DOOR = PostHogDoor()


def captured(event: Any = "seen", distinct_id: Any = "ann", **properties: Any) -> dict[str, Any]:
    return {"event": event, "distinct_id": distinct_id, "uuid": "u", "properties": properties}


def landed(sent: dict[str, Any]) -> CanonicalEvent:
    (event,) = events(DOOR, request("/batch/", {"api_key": "key", "batch": [sent]}))
    return event


@pytest.mark.parametrize(
    ("sent", "user_id", "anonymous_id"),
    [
        (captured(), "ann", None),
        (captured(distinct_id=7), "7", None),
        (captured(**{"$process_person_profile": False}), None, "ann"),
        (captured(distinct_id="d-1", **{"$device_id": "d-1"}), None, "d-1"),
        (captured(distinct_id="x-1", **{"$device_id": "d-1", "$is_identified": False}), None, "x-1"),
        (captured(**{"$device_id": "d-1", "$is_identified": True}), "ann", "d-1"),
        (captured("$identify", **{"$anon_distinct_id": "d-1", "$is_identified": True}), "ann", "d-1"),
        (captured("$groupidentify", "made-up", **{"$group_type": "team", "$group_key": 7}), None, "$group:team:7"),
        (captured("$groupidentify", **{"$device_id": "d-1", "$is_identified": True}), "ann", "d-1"),
        (captured("$create_alias", "d-1", alias="ann"), None, "d-1"),
        (captured("$create_alias", "ann", alias="d-1"), None, "ann"),
        (captured("$create_alias", alias="a", **{"$device_id": "d-1", "$is_identified": True}), "ann", "d-1"),
    ],
)
def test_a_distinct_id_is_a_users_or_a_visitors(
    sent: dict[str, Any], user_id: str | None, anonymous_id: str | None
) -> None:
    event = landed(sent)
    assert (event.user_id, event.anonymous_id) == (user_id, anonymous_id)


@pytest.mark.parametrize(
    "group", [{}, {"$group_type": "team"}, {"$group_key": 7}, {"$group_type": "", "$group_key": ""}]
)
def test_a_group_without_type_or_key_has_no_id(group: dict[str, Any]) -> None:
    batch = {"api_key": "key", "batch": [captured("$groupidentify", "made-up", **group)]}
    (verdict,) = verdicts(DOOR, request("/batch/", batch))
    assert isinstance(verdict, Rejection)
    assert verdict.reason is Reason.NO_VISITOR


@pytest.mark.parametrize(
    ("name", "kind", "event"),
    [
        ("$pageview", "page", "page_view"),
        ("$screen", "screen", "screen_view"),
        ("$identify", "identify", "identify"),
        ("$set", "identify", "identify"),
        ("$create_alias", "alias", "alias"),
        ("$groupidentify", "group", "group"),
        ("$pageleave", "track", "$pageleave"),
        ("$exception", "track", "$exception"),
        ("Order Completed", "track", "Order Completed"),
    ],
)
def test_special_events_get_their_type(name: str, kind: str, event: str) -> None:
    found = landed(captured(name, **{"$group_type": "team", "$group_key": 7}))
    assert (found.type, found.event) == (kind, event)


SINGLE = captured("$pageview", token="key", **{"$session_id": "s-1"})
FORM = b"data=" + quote(base64.b64encode(json.dumps(SINGLE).encode())).encode() + b"&compression=base64"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/batch/", {"api_key": "key", "batch": [SINGLE], "sent_at": "2026-03-10T12:00:00Z"}),
        ("/capture", {"api_key": "key", **SINGLE}),
        ("/i/v0/e/", {"token": "key", **SINGLE}),
        ("/e/", SINGLE),
        ("/e/?ip=0&_=1773144000000&compression=gzip-js", [SINGLE]),
        ("/e/?compression=base64", FORM),
        ("/e/", FORM),
        ("/i/v0/e/", b"data=" + quote(json.dumps(SINGLE)).encode()),
    ],
)
def test_every_format_of_requests_is_read(path: str, body: Any) -> None:
    assert DOOR.read(request(path, body)).key == "key"
    (event,) = events(DOOR, request(path, body))
    assert (event.event_id, event.session_id, event.type) == ("u", "s-1", "page")


def test_a_wrong_clock_is_corrected_by_the_time_of_sending() -> None:
    late = {**captured(), "timestamp": "2026-03-10T09:00:00Z"}
    (event,) = events(DOOR, request("/e/?_=1773133500000", [late]))
    assert event.event_time == NOON.replace(hour=11, minute=55)
    (event,) = events(DOOR, request("/e/?_=1773133500000", [{**captured(), "offset": 60_000}]))
    assert event.event_time == NOON.replace(hour=11, minute=59)


def test_visitors_of_a_page_without_cookies_are_distinguished() -> None:
    sent = {"api_key": "key", "batch": [captured(distinct_id="$posthog_cookieless", token="key")]}
    found = [
        event
        for address in ("203.0.113.77", "203.0.113.78")
        for event in events(DOOR, request("/batch/", sent, address=address))
    ]
    assert [event.user_id for event in found] == [None, None]
    assert len({event.anonymous_id for event in found} - {"$posthog_cookieless"}) == 2


def test_a_screen_has_its_name_for_a_title() -> None:
    properties = landed(captured("$screen", **{"$screen_name": "Start"})).properties
    assert properties == {"$screen_name": "Start", "title": "Start"}


def test_members_beside_the_properties_are_kept() -> None:
    event = landed({**captured("$set"), "$set": {"plan": "pro"}, "$set_once": {"first": 1}})
    assert event.properties == {"$set": {"plan": "pro"}, "$set_once": {"first": 1}}


def test_an_alias_has_its_other_id_where_every_door_has_it() -> None:
    properties = landed(captured("$create_alias", "ann", alias="d-1")).properties
    assert properties is not None
    assert properties["alias_id"] == "d-1"


def test_bad_events_become_rejected_lines_beside_good_ones() -> None:
    batch = [captured(), 7, {"event": ["a", "list"], "distinct_id": "ann"}, {"event": "nobody's"}, captured()]
    found = verdicts(DOOR, request("/batch/", {"api_key": "key", "batch": batch}))
    assert [isinstance(verdict, CanonicalEvent) for verdict in found] == [True, False, False, False, True]


def test_the_key_that_posthog_js_puts_into_each_event_is_not_kept() -> None:
    assert landed(captured(token="key", plan="pro")).properties == {"plan": "pro"}
    assert landed(captured(token="their own", plan="pro")).properties == {"plan": "pro"}


def test_an_event_with_another_projects_key_lands_in_no_project() -> None:
    tokens = ("key-a", "key-b", None, "key-a")
    sent = request("/e/", [captured(token=token, plan=token and f"of {token}") for token in tokens])
    batch = DOOR.read(sent)
    assert batch.key == "key-a"
    found = verdicts(DOOR, sent)
    assert [isinstance(verdict, CanonicalEvent) for verdict in found] == [True, False, True, True]
    lines = encode_lines(batch.events, "shop", "posthog", NOON, "truncated")
    assert b'"key-a"' not in lines
    assert b"key-b" not in lines


@pytest.mark.parametrize("body", [7, {"batch": "none"}, b"data=", b"data=7", b"data=!&compression=base64"])
def test_invalid_requests_are_refused(body: Any) -> None:
    with pytest.raises((MalformedRequestError, msgspec.DecodeError)):
        DOOR.read(request("/batch/", body))


@pytest.mark.parametrize(
    ("path", "body"), [("/flags/?v=2", {"token": "key"}), ("/decide/?v=3", b"data=x"), ("/array/key/config", b"")]
)
def test_requests_for_flags_and_configuration_bring_no_event_and_get_empty_responses(path: str, body: Any) -> None:
    asked = request(path, body)
    assert (DOOR.read(asked).key, list(DOOR.read(asked).events)) == (None, [])
    answer = json.loads(DOOR.answer(asked, Outcome.ACCEPTED).body)
    assert (answer["featureFlags"], answer["sessionRecording"], answer["surveys"]) == ({}, False, False)


def test_an_unknown_key_is_reported_in_the_format_that_sdks_show() -> None:
    refused = DOOR.answer(request("/batch/", {}), Outcome.UNAUTHORIZED, "no such key")
    assert (refused.status, json.loads(refused.body)["detail"]) == (401, "no such key")
