"""What senders say in their own ways: the order of a request, names of screens, passive events and hash routing."""

import json
from typing import Any

import msgspec
import pytest

from radar_assets.collector.door import Event
from radar_assets.collector.doors.plausible import PlausibleDoor
from radar_assets.collector.doors.segment import SegmentDoor
from radar_assets.collector.lines import encode_lines
from radar_assets.settings import Settings
from radar_assets_tests.collector.wire import NOON, events, request
from radar_assets_tests.truth.traffic import received, requests_of


def landed(*given: Any) -> list[Any]:
    return [json.loads(line) for line in encode_lines(given, "shop", "radar", NOON, "truncated").splitlines()]


@pytest.mark.parametrize("count", [2, 99, 100, 101, 250])
def test_events_of_a_request_have_their_position(count: int) -> None:
    sent = [Event(event="e", properties={"n": number}) for number in range(count)]
    assert [line["sequence"] for line in landed(*sent)] == list(range(count))
    # Events that can't be encoded together are encoded one by one.
    sent[-1].properties = {"n": {1, 2}}
    assert [line["sequence"] for line in landed(*sent)] == list(range(count))


def test_the_position_counts_what_is_no_event_and_can_not_be_sent() -> None:
    lines = landed(msgspec.Raw(b"7"), Event(event="e"), msgspec.Raw(b'{"torn'), Event(event="e"))
    assert [line["sequence"] for line in lines if isinstance(line, dict)] == [1, 3]
    assert "sequence" not in landed(Event(event="e"))[0]


def segment(**message: Any) -> dict[str, Any]:
    (event,) = events(SegmentDoor(), request("/v1/batch", {"writeKey": "k", "batch": [{"userId": "u", **message}]}))
    return {"event": event.event, **(event.properties or {}), "context": event.context}


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ({"event": "Home", "properties": {"name": "Home"}}, "Home"),
        ({"event": "Home"}, "Home"),
        ({"name": "Home", "event": "screen"}, "Home"),
        ({"name": "Home", "event": "Home"}, "Home"),
        ({"properties": {"name": "Home"}}, "Home"),
        ({"event": "Home", "properties": {"title": "Start"}}, "Start"),
        ({"event": "", "name": "Home"}, "Home"),
    ],
)
@pytest.mark.parametrize("kind", ["screen", "page"])
def test_the_name_of_a_screen_is_its_title_wherever_it_is_sent(kind: str, message: dict[str, Any], title: str) -> None:
    if kind == "page" and message.keys() == {"properties"}:
        title = ""
    found = segment(type=kind, **message)
    assert (found["event"], found.get("title", "")) == (f"{kind}_view", title)
    assert found["context"] is None or found["context"] == {"unknown_members": {"event": "screen"}}


def test_a_type_names_its_events_and_another_name_is_kept_beside() -> None:
    assert segment(type="identify", event="identify") == {"event": "identify", "context": None}
    assert segment(type="group", event="Joined")["event"] == "group"
    assert segment(type="group", event="Joined")["context"] == {"unknown_members": {"event": "Joined"}}
    both = segment(type="screen", event="Home", name="Start")
    assert (both["title"], both["context"]) == ("Start", {"unknown_members": {"event": "Home"}})
    assert segment(type="track", event="Home")["event"] == "Home"


@pytest.mark.parametrize("flag", [True, 1, "1", "true"])
def test_segments_flag_of_passive_events_travels_in_the_context(flag: Any) -> None:
    passive = {"type": "track", "event": "seen", "properties": {"nonInteraction": flag}}
    assert segment(**passive)["context"] == {"interactive": False}
    assert segment(**passive, context={"locale": "de"})["context"] == {"interactive": False, "locale": "de"}
    assert segment(**passive, context={"interactive": True})["context"] == {"interactive": True}
    active = {**passive, "properties": {"nonInteraction": 0}}
    assert segment(**active)["context"] is None


def test_segments_flag_is_beside_the_context_of_the_batch() -> None:
    passive = {"type": "track", "event": "seen", "userId": "u", "properties": {"nonInteraction": True}}
    batch = {"writeKey": "k", "batch": [passive, {**passive, "properties": {}}], "context": {"locale": "de"}}
    found = [event.context for event in events(SegmentDoor(), request("/v1/batch", batch))]
    assert found == [{"locale": "de", "interactive": False}, {"locale": "de"}]


def plausible(**sent: Any) -> dict[str, Any]:
    (event,) = events(PlausibleDoor(), request("/api/event", {"u": "https://a.example/#/b", "d": "a.example", **sent}))
    return {"properties": event.properties, **(event.context or {})}


@pytest.mark.parametrize("name", ["i", "interactive"])
@pytest.mark.parametrize("flag", [False, 0, "false", "0"])
def test_plausibles_flag_of_passive_events_travels_in_the_context(name: str, flag: Any) -> None:
    assert plausible(n="Scrolled", **{name: flag})["interactive"] is False
    assert plausible(n="pageview", **{name: flag})["interactive"] is False
    assert plausible(n="Scrolled", **{name: True})["interactive"] is True
    assert "interactive" not in plausible(n="Scrolled")
    assert plausible(n="Scrolled", **{name: flag})["properties"] is None


@pytest.mark.parametrize("flag", [1, True, "1", "true"])
def test_plausibles_flag_of_hash_routing_travels_with_the_page(flag: Any) -> None:
    assert plausible(n="pageview", h=flag)["page"] == {"hash_routing": True}
    assert plausible(n="Signup", h=flag)["page"] == {"url": "https://a.example/#/b", "hash_routing": True}
    assert "page" not in plausible(n="pageview", h=0)
    assert plausible(n="Signup", h=0)["page"] == {"url": "https://a.example/#/b"}


def test_the_case_of_rudder_screen(settings: Settings) -> None:
    (sent,) = requests_of("rudder-screen")
    del sent["body"]["batch"][0]["userId"]
    with received(settings, [sent], "rudder-screen") as traffic:
        rows = traffic.rows("select event, title from events order by event_id")
        assert rows == [("screen_view", "Home"), ("screen_view", "Cart")]


def test_the_case_of_rudder_screen_with_an_empty_user_id(settings: Settings) -> None:
    with received(settings, requests_of("rudder-screen"), "rudder-screen") as traffic:
        rows = traffic.rows("select event, title from events order by event_id")
        assert rows == [("screen_view", "Home"), ("screen_view", "Cart")]


def test_the_case_of_same_second(settings: Settings) -> None:
    with received(settings, requests_of("same-second"), "same-second") as traffic:
        visits = traffic.rows("select entry_page, exit_page, channel from sessions")
        assert visits == [("/", "/de/start", "Organic Search")] * 16


def test_the_case_of_hash_routing(settings: Settings) -> None:
    with received(settings, requests_of("hash-routing"), "hash-routing", keys=["hash.example"]) as traffic:
        pages = traffic.rows("select path from events order by event_time")
        assert pages == [("/#/",), ("/#/pricing",), ("/#/signup",)]
