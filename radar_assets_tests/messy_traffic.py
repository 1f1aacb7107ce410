"""A strategy for landed events with everything that real senders do: few people, ids and moments, so that they often meet.

Lines that are not events are in `events/lines.py`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.platform import event

START = datetime(2026, 3, 1)
SPAN = Window(START - DAY, START + 8 * DAY)
"""Contains all times at which the events happen or are received."""
CONFIG = 'internal_traffic: [{name: staging, hosts: ["*.staging.example"]}]\n'
"""A `radar.yaml` by which some of the traffic is internal."""

Event = dict[str, Any]
Members = Mapping[str, Any]
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)

# On both mornings, when long visits are cut, and around midnight.
_BUSY = (9 * HOUR, 17 * HOUR + 50 * MINUTE, 23 * HOUR + 45 * MINUTE, 24 * HOUR, 33 * HOUR)
_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
_CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

_busy = st.builds(
    lambda at, later: START + at + later,
    st.sampled_from(_BUSY),
    st.sampled_from([0 * SECOND, 0 * SECOND, SECOND, 10 * MINUTE, 29 * MINUTE, 31 * MINUTE]),
)
moments = st.one_of(_busy, _busy, st.integers(0, 48 * 60 * 60 - 1).map(lambda after: START + after * SECOND))
"""When events happen: on two days, many at the same second."""

delays = st.sampled_from([0 * SECOND, SECOND, SECOND, 30 * MINUTE, 2 * HOUR, 26 * HOUR])
"""How long events take to the collector."""

people = st.sampled_from(
    [
        {"anonymous_id": "ann"},
        {"anonymous_id": "ann", "user_id": "u1"},
        {"anonymous_id": "ann's phone", "user_id": "u1"},
        {"anonymous_id": "bob"},
        {"anonymous_id": "bob", "user_id": "u1"},
        {"anonymous_id": "bob", "user_id": "u2"},
        {"anonymous_id": None, "user_id": "u1"},
        {"anonymous_id": "undefined", "user_id": "u2"},
        {"anonymous_id": "bob", "user_id": "00000000-0000-0000-0000-000000000000"},
    ]
)
"""Who sends: devices before and after signing in, a shared device, a user on two devices, and placeholders."""

sessions = st.sampled_from([None, None, None, "s1", "s2", "null"])
"""Session ids, which visitors share."""

clients = st.sampled_from(
    [
        {"userAgent": _CHROME},
        {"userAgent": _CHROME},
        {"userAgent": _CRAWLER},
        {"app": {"name": "Shop"}},
        {"library": {"name": "analytics-python"}},
    ]
)
"""Contexts of browsers, a crawler, an app and a server."""

urls = st.sampled_from(
    [
        "https://shop.example/",
        "https://shop.example/a",
        "HTTPS://Shop.Example:443/b/../%61/;jsessionid=1?utm_source=News+Letter&amp;utm_medium=email#top",
        "https://shop.example/#/pricing?utm_source=ads&gclid=1",
        "https://new.staging.example/a",
        "/a?utm_source=%ff",
        "no url",
        "",
    ]
)
referrers = st.sampled_from(["", "$direct", "https://www.google.com/", "https://help.shop.example/"])

views = st.builds(
    lambda members, url, referrer, is_routed: {
        **members,
        "properties": {"url": url, "referrer": referrer, "title": "Shop"},
        "context": {"page": {"hash_routing": is_routed}},
    },
    st.sampled_from(
        [{"type": "page", "event": "page_view"}, {"type": "page", "event": None}, {"type": "screen", "event": None}]
    ),
    urls,
    referrers,
    st.booleans(),
)
"""Page and screen views, with and without hash routing."""

clicks = st.builds(
    lambda name, url: {
        "type": "track",
        "event": name,
        "properties": {"url": "https://elsewhere.example/?utm_source=wrong"},
        "context": {"page": {"url": url}},
    },
    st.sampled_from(["click", "SignedUp", "error", "conversion"]),
    urls,
)
"""What visitors do on a page, with the address of another page in the properties."""

passive = st.sampled_from(
    [
        {"type": "identify", "event": None},
        {"type": "group", "event": None},
        {"type": "alias", "event": None},
        {"type": "track", "event": "$pageleave"},
        {"type": "track", "event": "page_ping"},
        {"type": "track", "event": "scroll", "context": {"interactive": False}},
        {"type": "track", "event": "video", "properties": {"nonInteraction": 1}},
    ]
)
"""What SDKs send on their own."""

jobs = st.sampled_from(
    [{"type": "track", "event": name, "properties": {"plan": "pro"}} for name in ("export", "renewal")]
)
"""What servers and apps send without a page."""

amounts = st.sampled_from([25, 9.99, -25, 0, "25", "$25.00", "25,00 €", "1,299", "free", "", None])
"""Amounts as numbers and as texts, some of them unreadable."""

purchases = st.builds(
    lambda name, ids, amount: {"type": "track", "event": name, "properties": {**ids, "revenue": amount}},
    st.sampled_from(["purchase", "Order Completed", "order-placed"]),
    st.sampled_from([{}, {"order_id": "undefined"}]),
    amounts,
)
"""Purchases without a usable order id."""

_order_ids = st.sampled_from(
    [
        {"order_id": "A"},
        {"orderId": " A "},
        {"order_id": "", "transaction_id": "A"},
        {"ecommerce": {"transaction_id": "B"}},
        {"order_id": "B"},
    ]
)
orders = st.builds(
    lambda members, ids, amount: {
        **members,
        "type": "track",
        "properties": {"value": amount, **ids, **members["properties"]},
    },
    st.sampled_from(
        [
            {"event": "purchase", "properties": {}},
            {"event": "OrderCompleted", "properties": {"currency": "EUR"}},
            {"event": "Order Refunded", "properties": {}},
            {"event": "refund", "properties": {"refund_id": "r1", "refund_amount": "5,00"}},
            {"event": "order_cancelled", "properties": {"value": None}},
        ]
    ),
    _order_ids,
    amounts,
)
"""Purchases, refunds and cancellations of two orders, reported again and again."""

flaws = st.sampled_from(
    [
        {"type": "click"},
        {"event_id": None},
        {"event_id": 7.0},
        {"event_id": "undefined"},
        {"event_id": "7" * 250},
        {"event": "click" * 50},
        {"user_id": ""},
        {"user_id": ["u1"]},
        {"session_id": "s" * 201},
        {"category": ""},
        {"category": 5},
        {"timestamp": None},
        {"timestamp": "soon"},
        {"timestamp": 1772366400000},
        {"timestamp": "1985-10-26T01:21:00Z"},
        {"timestamp": "2999-01-01T00:00:00Z"},
        {"timestamp": "2015-10-21T00:00:00Z"},
        {"sent_at": "0001-01-01T00:00:00Z"},
        {"sent_at": "2026-02-01T00:00:00Z"},
        {"properties": []},
        {"properties": {"url": "https://shop.example/a", "text": "x" * 40_000}},
        {"context": "none"},
        {"sequence": "first"},
        {"protocol": 3},
        {"project_id": "nobody"},
        {"anonymous_id": None, "user_id": None},
        {"event": None, "type": "click"},
    ]
)
"""Fields that are unusable, some of which cost the event."""


def _stamp(at: datetime) -> str:
    return f"{at.isoformat()}Z"


@st.composite
def _events(draw: st.DrawFn, number: int) -> Event:
    at = draw(moments)
    received = at + draw(delays)
    clock = draw(st.sampled_from([0 * HOUR, 0 * HOUR, -2 * HOUR]))
    is_order = draw(st.integers(0, 3)) == 0
    deed = draw(orders if is_order else st.one_of(views, clicks, passive, jobs, purchases))
    fields = {
        "project_id": draw(st.sampled_from(["shop", "shop", "blog"])),
        "event_id": str(draw(st.integers(0, 15))),
        "sequence": draw(st.sampled_from([None, 0, 1])),
        "session_id": draw(sessions),
        "timestamp": _stamp(at + clock),
        # Before the event by a wrong time. A resend that keeps this field seems to come from a slow clock.
        "sent_at": draw(st.sampled_from([None, None, _stamp(received + clock), _stamp(at - 3 * HOUR)])),
        "properties": None,
        **draw(people),
        **deed,
        "context": {**draw(clients), **deed.get("context", {})},
        **(draw(flaws) if draw(st.integers(0, 4)) == 0 else {}),
    }
    if is_order and draw(st.booleans()):
        fields["event_id"] = f"order {number}"
    return event(**fields, at=at, received_at=received)


@st.composite
def _repeats(draw: st.DrawFn, first: Event, number: int) -> Event:
    received = datetime.fromisoformat(first["received_at"].removesuffix("Z")) + draw(delays)
    again = {**first, "received_at": _stamp(received)}
    how = draw(st.sampled_from(["as it was", "with a flaw", "at another time", "differently"]))
    if how == "with a flaw":
        return again | draw(st.sampled_from([{"user_id": ""}, {"category": ["x"]}, {"sent_at": "soon"}]))
    if how == "at another time":
        at = draw(moments)
        return again | {"timestamp": _stamp(at), "sent_at": draw(st.sampled_from([None, _stamp(at)]))}
    if how == "differently" and str(first["event_id"]).startswith("order"):
        return again | {"event_id": f"order {number}", "event": "Purchase"}
    if how == "differently":
        return again | draw(people) | draw(st.one_of(views, clicks, jobs, purchases))
    return again


@st.composite
def traffic(draw: st.DrawFn) -> list[Event]:
    """Events of two days and their repetitions, in no order."""
    firsts = [draw(_events(number)) for number in range(draw(st.integers(5, 30)))]
    repeated = draw(st.lists(st.sampled_from(firsts), max_size=12))
    return firsts + [draw(_repeats(first, len(firsts) + number)) for number, first in enumerate(repeated)]
