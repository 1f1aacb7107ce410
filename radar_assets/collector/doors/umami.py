"""Umami's tracker and SDK. They use no cookies; visitors are distinguished by address and browser.

Requests have no id, so identical requests of a visitor within two seconds count once, page views within one.
"""

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
    identifier,
)
from radar_assets.collector.doors.cookieless import event_of
from radar_assets.collector.payloads import Payload, members_of, rfc3339, size
from radar_assets.collector.recognition import Shape, recognized


class _Sent(msgspec.Struct):
    website: Any = None
    hostname: Any = None
    url: Any = None
    referrer: Any = None
    title: Any = None
    name: Any = None
    data: Payload = msgspec.UNSET
    id: Any = None
    tag: Any = None
    language: Any = None
    screen: Any = None
    timestamp: Any = None
    ip: Any = None
    user_agent: Any = msgspec.field(default=None, name="userAgent")


class _Request(msgspec.Struct):
    payload: _Sent
    type: Any = "event"


_KEYS = frozenset({"website"})
_SHAPE = Shape(
    required=(frozenset({"website"}),),
    known=frozenset({*_Sent.__struct_encode_fields__, "type", "cache"}) - _KEYS,
    keys=_KEYS,
    unused=lambda event, _: ("name",) if event.type == "identify" else (),
    expected='{"type": "event", "payload": {...}} with website, the website id, and url',
)
_REQUEST = msgspec.json.Decoder(_Request)


class UmamiDoor:
    """`POST /api/send`. The website's id is the key."""

    name = "umami"
    routes = (("POST", "/api/send"),)

    def read(self, request: Request) -> Batch:
        """The event of a request."""
        try:
            sent = _REQUEST.decode(request.body)
        except msgspec.ValidationError as error:
            raise MalformedRequestError(f"the body has to be a JSON object with an object payload: {error}") from error
        key = sent.payload.website
        raw = msgspec.Raw(request.body)
        events = [attempt(_event, request, key, sent.type, sent.payload) if isinstance(key, str) else raw]
        return Batch(key if isinstance(key, str) else None, recognized(events, lambda: [_flat(raw)], _SHAPE))

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The response that the tracker expects, or an error in Umami's format."""
        if outcome is Outcome.ACCEPTED:
            return Answer(200, b'{"disabled":false}')
        words = {"error": {"message": detail, "code": outcome.value, "status": STATUS[outcome]}}
        return Answer(STATUS[outcome], msgspec.json.encode(words))


def _flat(body: msgspec.Raw) -> msgspec.Raw:
    """The members of a payload and those beside it in one object."""
    around = members_of(body)
    payload = members_of(around.pop("payload", msgspec.UNSET))
    return msgspec.Raw(msgspec.json.encode({**around, **payload}))


def _event(request: Request, key: str, kind: Any, sent: _Sent) -> Event:
    is_identity = kind == "identify"
    return event_of(
        request,
        key,
        # The contract rejects unknown kinds.
        ("track" if sent.name else "page") if kind == "event" else kind,
        name=None if is_identity else sent.name or None,
        page={
            "url": _absolute(sent.url, sent.hostname),
            "title": sent.title,
            "referrer": _absolute(sent.referrer, sent.hostname),
        },
        properties=msgspec.UNSET if is_identity else sent.data,
        members={"tag": sent.tag or None, "traits": sent.data if is_identity else None},
        context={"locale": sent.language, "screen": size(sent.screen) or sent.screen},
        user_id=identifier(sent.id) or None,
        # In seconds.
        timestamp=rfc3339(sent.timestamp * 1000) if isinstance(sent.timestamp, int | float) else sent.timestamp,
        address=sent.ip,
        user_agent=sent.user_agent,
    )


def _absolute(address: Any, hostname: Any) -> Any:
    """The URL of a path; the tracker leaves out scheme and host."""
    is_path = isinstance(address, str) and address.startswith("/")
    return f"https://{hostname}{address}" if is_path and hostname and isinstance(hostname, str) else address
