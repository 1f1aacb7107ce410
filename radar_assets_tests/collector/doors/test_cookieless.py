"""Umami's and Plausible's doors: visitor ids without stored addresses, and requests without ids that count once."""

import json
from datetime import timedelta
from typing import Any

import pytest

from radar_assets.collector.door import Door, MalformedRequestError, Outcome, Request
from radar_assets.collector.doors.cookieless import RESEND, VIEW_RESEND
from radar_assets.collector.doors.plausible import PlausibleDoor
from radar_assets.collector.doors.umami import UmamiDoor
from radar_assets.collector.lines import encode_lines
from radar_assets.collector.recent import Recent
from radar_assets.events.contract import CanonicalEvent, Reason, Rejection
from radar_assets_tests.collector.wire import ADDRESS, BROWSER, NOON, events, request, verdicts

UMAMI, PLAUSIBLE = UmamiDoor(), PlausibleDoor()
SITE = "94db1cb1-74f4-4a40-ad6c-962362670409"
TEXT = {"content-type": "text/plain"}


def umami(kind: str = "event", **payload: Any) -> Request:
    page = {"website": SITE, "hostname": "a.example", "url": "/b?utm_source=news", "title": "B", "language": "de"}
    return request("/api/send", {"type": kind, "payload": {**page, **payload}})


def plausible(**sent: Any) -> Request:
    return request("/api/event", {"n": "pageview", "u": "https://a.example/b", "d": "a.example", **sent}, TEXT)


def one(door: Door, sent: Request) -> CanonicalEvent:
    (event,) = events(door, sent)
    return event


def test_umamis_page_view_has_its_full_url() -> None:
    event = one(UMAMI, umami(referrer="/a", screen="1920x1080"))
    assert UMAMI.read(umami()).key == SITE
    assert (event.type, event.event, event.timestamp) == ("page", "page_view", NOON)
    assert event.properties == {
        "url": "https://a.example/b?utm_source=news",
        "title": "B",
        "referrer": "https://a.example/a",
    }
    assert event.context == {
        "userAgent": BROWSER,
        "ip": "203.0.113.0",
        "locale": "de",
        "screen": {"width": 1920, "height": 1080},
    }


def test_umamis_named_event_and_identity_have_their_page_and_their_data() -> None:
    event = one(UMAMI, umami(name="signup", data={"plan": "pro"}, tag="b", referrer="https://c.example/"))
    assert (event.type, event.event, event.properties) == ("track", "signup", {"plan": "pro", "tag": "b"})
    assert event.context is not None
    assert event.context["page"]["referrer"] == "https://c.example/"
    identity = one(UMAMI, umami("identify", id="ann", data={"revenue": 5}))
    assert (identity.type, identity.user_id, identity.properties) == ("identify", "ann", {"traits": {"revenue": 5}})


def test_umamis_time_is_in_seconds() -> None:
    assert one(UMAMI, umami(timestamp=1773140400)).timestamp == NOON - timedelta(hours=1)


def test_an_unknown_kind_of_umamis_event_becomes_a_rejected_line() -> None:
    (verdict,) = verdicts(UMAMI, umami("click"))
    assert isinstance(verdict, Rejection)
    assert verdict.reason is Reason.UNKNOWN_TYPE


def test_plausibles_page_view_becomes_a_page_view() -> None:
    event = one(PLAUSIBLE, plausible(r="https://c.example/", w=1440))
    assert PLAUSIBLE.read(plausible()).key == "a.example"
    assert (event.type, event.event) == ("page", "page_view")
    assert event.properties == {"url": "https://a.example/b", "referrer": "https://c.example/"}
    assert event.context == {"userAgent": BROWSER, "ip": "203.0.113.0", "screen": {"width": 1440}}


@pytest.mark.parametrize(
    "sent",
    [
        {"n": "Purchase", "p": {"plan": "pro"}, "$": {"amount": "14.99", "currency": "EUR"}},
        {"n": "Purchase", "m": '{"plan":"pro"}', "$": '{"amount":14.99,"currency":"EUR"}'},
        {"n": None, "name": "Purchase", "props": {"plan": "pro"}, "revenue": {"amount": 14.99, "currency": "EUR"}},
    ],
)
def test_plausibles_named_event_has_its_properties_and_revenue_in_every_notation(sent: dict[str, Any]) -> None:
    event = one(PLAUSIBLE, plausible(**sent))
    assert (event.type, event.event) == ("track", "Purchase")
    assert event.properties == {"plan": "pro", "revenue": 14.99, "currency": "EUR"}
    assert event.context is not None
    assert event.context["page"] == {"url": "https://a.example/b"}


def test_leaving_a_page_is_not_a_page_view() -> None:
    event = one(PLAUSIBLE, plausible(n="engagement", e=7300, sd=55))
    assert (event.type, event.event) == ("track", "engagement")
    assert event.properties == {"engagement_ms": 7300, "scroll_depth_percent": 55}


@pytest.mark.parametrize(
    ("door", "path", "body"), [(UMAMI, "/api/send", umami().body), (PLAUSIBLE, "/api/event", plausible().body)]
)
class TestVisitor:
    """Visitors of both doors."""

    def test_is_the_same_for_the_day_on_one_site(self, door: Door, path: str, body: bytes) -> None:
        at_noon, later = (request(path, body, at=NOON + timedelta(hours=hours)) for hours in (0, 5))
        assert one(door, at_noon).anonymous_id == one(door, later).anonymous_id

    def test_differs_by_day_site_address_and_browser(self, door: Door, path: str, body: bytes) -> None:
        sent = [
            request(path, body),
            request(path, body, salts=(b"of the next day", b"of the day")),
            request(path, body.replace(SITE.encode(), b"other").replace(b'"d": "a.', b'"d": "b.')),
            request(path, body, address="203.0.113.78"),
            request(path, body, {"user-agent": "another"}),
        ]
        assert len({one(door, each).anonymous_id for each in sent}) == len(sent)

    def test_stores_no_full_address(self, door: Door, path: str, body: bytes) -> None:
        sent = request(path, body)
        assert ADDRESS.encode() not in encode_lines(door.read(sent).events, "shop", door.name, NOON, "truncated")
        assert ADDRESS not in repr(sent)

    def test_counts_a_retried_request_once(self, door: Door, path: str, body: bytes) -> None:
        named = json.loads(body)
        named.get("payload", named).update(name="click", n="click")
        for sent, within in ((body, VIEW_RESEND), (json.dumps(named).encode(), RESEND)):
            recent, just = Recent(), timedelta(microseconds=1)
            first, again, other, later, afterwards = (
                one(door, request(path, sent, at=NOON + after, address=address, recent=recent)).event_id
                for after, address in (
                    (timedelta(), ADDRESS),
                    (within - just, ADDRESS),
                    (timedelta(), "203.0.113.78"),
                    (within, ADDRESS),
                    (2 * within - just, ADDRESS),
                )
            )
            assert (first, later) == (again, afterwards)
            assert len({first, later, other}) == 3


def test_umamis_visitor_is_the_one_that_a_server_sends_for() -> None:
    theirs = umami(ip=ADDRESS, userAgent=BROWSER)
    from_server = request("/api/send", theirs.body, {"user-agent": "node"}, address="10.0.0.1")
    event = one(UMAMI, from_server)
    assert event.anonymous_id == one(UMAMI, umami()).anonymous_id
    assert event.context == {"userAgent": BROWSER, "locale": "de"}
    assert ADDRESS not in repr(event)


def test_an_event_with_its_own_time_counts_once_however_late_it_is_retried() -> None:
    sent = [
        request("/api/send", umami(timestamp=1773140400).body, at=NOON + timedelta(minutes=minutes))
        for minutes in (0, 30)
    ]
    assert len({one(UMAMI, each).event_id for each in sent}) == 1


@pytest.mark.parametrize("door", [UMAMI, PLAUSIBLE], ids=lambda door: door.name)
@pytest.mark.parametrize("body", [[], 7, {"payload": 7}])
def test_bodies_without_an_event_are_refused_or_have_no_key(door: Door, body: Any) -> None:
    try:
        assert door.read(request("/", body)).key is None
    except MalformedRequestError as error:
        assert "a JSON object" in str(error) or "expected: an object" in str(error)


def test_responses_are_those_that_trackers_expect() -> None:
    assert json.loads(UMAMI.answer(umami(), Outcome.ACCEPTED).body) == {"disabled": False}
    taken = PLAUSIBLE.answer(plausible(), Outcome.ACCEPTED)
    assert (taken.status, taken.body) == (202, b"ok")
    assert json.loads(UMAMI.answer(umami(), Outcome.UNAUTHORIZED, "no such key").body)["error"]["status"] == 401
