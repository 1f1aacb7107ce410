"""Plausible's tracker and events API. They use no cookies; visitors are distinguished by address and browser.

Requests have no id, so identical requests of a visitor within two seconds count once, page views within one.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from radar_assets.collector.door import (
    STATUS,
    Answer,
    Batch,
    Event,
    MalformedRequestError,
    Outcome,
    Request,
    attempt,
)
from radar_assets.collector.doors.cookieless import event_of
from radar_assets.collector.payloads import Payload, number
from radar_assets.collector.recognition import EMPTY, Shape, recognized


class _Sent(msgspec.Struct):
    """The tracker uses the short names, the events API the long ones."""

    n: Any = None
    name: Any = None
    u: Any = None
    url: Any = None
    d: Any = None
    domain: Any = None
    r: Any = None
    referrer: Any = None
    w: Any = None
    screen_width: Any = None
    p: Any = None
    props: Any = None
    m: Any = None
    meta: Any = None
    revenue: Any = None
    revenue_short: Any = msgspec.field(default=None, name="$")
    interactive: Any = None
    i: Any = None
    e: Any = None
    sd: Any = None
    h: Any = None


_KEYS = frozenset({"d", "domain"})
_ALIASES = (("n", "name"), ("u", "url"), ("r", "referrer"), ("w", "screen_width"), ("i", "interactive"))
_PROPS, _REVENUE = ("p", "props", "m", "meta"), ("$", "revenue")
"""If several names mean the same, the first one with a value is used."""
_ON, _OFF = (1, "1", "true"), (0, "0", "false")
"""Values of flags; `True` equals 1."""


def _unused(_event: Event, members: Mapping[str, msgspec.Raw]) -> Collection[str]:
    unused = set[str]()
    for names in (*_ALIASES, _PROPS, _REVENUE):
        given = [name for name in names if name in members and bytes(members[name]) not in EMPTY]
        unused.update(given[1:])
    # Plausible doesn't count an amount without a currency as revenue.
    unused.update(name for name in _REVENUE if not bytes(members.get(name, b"")).startswith((b"{", b'"{')))
    return unused


_SHAPE = Shape(
    required=(frozenset({"n", "name"}), frozenset({"d", "domain"})),
    # The version of the script.
    known=frozenset({*_Sent.__struct_encode_fields__, "v"}) - _KEYS,
    keys=_KEYS,
    unused=_unused,
    expected="an object with n or name, u or url, and d or domain",
)
_SENT = msgspec.json.Decoder(_Sent)


class PlausibleDoor:
    """`POST /api/event`. The site's domain is the key."""

    name = "plausible"
    routes = (("POST", "/api/event"),)

    def read(self, request: Request) -> Batch:
        """The event of a request."""
        try:
            sent = _SENT.decode(request.body)
        except msgspec.ValidationError as error:
            raise MalformedRequestError(f"the body has to be a JSON object, an event: {error}") from error
        key = sent.d or sent.domain
        raw = msgspec.Raw(request.body)
        events = [attempt(_event, request, key, sent) if isinstance(key, str) else raw]
        return Batch(key if isinstance(key, str) else None, recognized(events, lambda: [raw], _SHAPE))

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """Plausible's `ok`, or an error in its format."""
        if outcome is Outcome.ACCEPTED:
            return Answer(202, b"ok", "text/plain; charset=utf-8")
        return Answer(STATUS[outcome], msgspec.json.encode({"errors": {outcome.value: [detail]}}))


def _event(request: Request, key: str, sent: _Sent) -> Event:
    name = sent.n or sent.name
    width = number(sent.w if sent.w is not None else sent.screen_width)
    return event_of(
        request,
        key,
        "page" if name == "pageview" else "track",
        name=None if name == "pageview" else name,
        page={"url": sent.u or sent.url, "referrer": sent.r or sent.referrer},
        properties=_properties(sent),
        members={
            **_revenue(sent),
            # Of an `engagement`, which the tracker sends when a page is left.
            "engagement_ms": sent.e,
            "scroll_depth_percent": sent.sd,
        },
        context={"screen": {"width": width} if width is not None else None},
        interactive=_interactive(sent.i if sent.i is not None else sent.interactive),
        hash_routing=sent.h in _ON,
    )


def _interactive(flag: Any) -> Any:
    """Whether the visitor did something, if the sender says so; other values stay as they are."""
    return False if flag in _OFF else True if flag in _ON else flag


def _properties(sent: _Sent) -> Payload:
    given = next((p for p in (sent.p, sent.props, sent.m, sent.meta) if p is not None), None)
    return msgspec.UNSET if given is None else msgspec.Raw(msgspec.json.encode(_unpacked(given)))


def _revenue(sent: _Sent) -> dict[str, Any]:
    """Amount and currency under the names that all doors use."""
    revenue = _unpacked(sent.revenue_short or sent.revenue)
    if not isinstance(revenue, dict):
        return {}
    return {"revenue": number(revenue.get("amount")), "currency": revenue.get("currency")}


def _unpacked(value: Any) -> Any:
    """A value that may be JSON in a text, as some tracker versions write objects."""
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, RecursionError):
        return value
