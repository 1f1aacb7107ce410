"""Radar's own protocol: canonical events as a JSON object, an array of them, or one per line.

`radar.js` sends an object with the array and the key, which keeps the key out of URLs.
"""

import io
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from radar_assets.collector.door import (
    MAX_EVENTS,
    STATUS,
    Answer,
    Batch,
    Event,
    Failed,
    MalformedRequestError,
    Outcome,
    Request,
)
from radar_assets.collector.payloads import decode_either, shared_time
from radar_assets.collector.recognition import Shape, recognized
from radar_assets.collector.report import NOTHING, TypedEvent, report_on
from radar_assets.events.contract import CanonicalEvent


class _Payloads(Event):
    """An event with fields of any type and any other members, whose payload is not decoded."""

    properties: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    context: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Envelope(msgspec.Struct):
    """What `radar.js` sends."""

    events: list[msgspec.Raw]
    key: str | None = None
    sent_at: Any = None


class _ExactEnvelope(_Envelope, forbid_unknown_fields=True):
    """An envelope without other members."""


_SHAPE = Shape(
    required=(frozenset({"event", "type"}), frozenset({"user_id", "anonymous_id"})),
    known=frozenset(CanonicalEvent.model_fields),
    keys=frozenset({"key"}),
    envelope=frozenset(_Envelope.__struct_fields__),
    is_handwritten=True,
    expected='an object with event and user_id or anonymous_id, an array of them, one on each line, or {"events": [...]}',
)
_EVENT = msgspec.json.Decoder(_Payloads)
_EXACT = msgspec.json.Decoder(TypedEvent)
_EXACTS = msgspec.json.Decoder(list[TypedEvent])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)
_ENVELOPE, _EXACT_ENVELOPE = msgspec.json.Decoder(_Envelope), msgspec.json.Decoder(_ExactEnvelope)


class RadarDoor:
    """`POST /v1/events`. The key is a bearer token, the user of basic auth, the parameter `key` or in the envelope."""

    name = "radar"
    routes: Sequence[tuple[str, str]] = (("POST", "/v1/events"),)

    def read(self, request: Request) -> Batch:
        """The events of a request."""
        key, body = request.key, request.body.strip()
        if body.startswith(b"["):
            return Batch(key, _list(body), report_on)
        if not body.startswith(b"{"):
            raise MalformedRequestError("the body has to be a JSON object, an array of them, or one per line")
        if b'"events"' in body and (envelope := _envelope(body)):
            raws = envelope.events[: MAX_EVENTS + 1]
            shared = {} if isinstance(envelope, _ExactEnvelope) else _SHAPE.unknown_beside(body, len(raws))
            events, is_exact = _events(raws)
            sent_at = shared_time(envelope.sent_at)
            for event in events:
                if isinstance(event, Event) and event.sent_at is None:
                    event.sent_at = sent_at
            events = recognized(events, lambda: raws, _SHAPE, is_exact=is_exact, shared=shared)
            return Batch(key or envelope.key or "", events, report_on)
        if event := _exact(body):
            return Batch(key, recognized([event], lambda: [msgspec.Raw(body)], _SHAPE, is_exact=True), report_on)
        lines = _documents(body)
        events, is_exact = _events(lines)
        return Batch(key, recognized(events, lambda: lines, _SHAPE, is_exact=is_exact), report_on)

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The status, with a line of JSON. The response to accepted events is their report."""
        if outcome is Outcome.ACCEPTED:
            return Answer(STATUS[outcome], (detail.encode() or NOTHING) + b"\n")
        headers = {"WWW-Authenticate": "Bearer"} if outcome is Outcome.UNAUTHORIZED else {}
        error = msgspec.json.encode({"error": outcome.value, "detail": detail})
        return Answer(STATUS[outcome], error + b"\n", headers=headers)


def _list(body: bytes) -> Sequence[Event | msgspec.Raw | Failed]:
    try:
        return recognized(_EXACTS.decode(body)[: MAX_EVENTS + 1], lambda: _raws(body), _SHAPE, is_exact=True)
    except msgspec.ValidationError:
        raws = _raws(body)
        events, is_exact = _events(raws)
        return recognized(events, lambda: raws, _SHAPE, is_exact=is_exact)
    except msgspec.DecodeError as error:
        raise MalformedRequestError(f"the body is not a JSON array: {error}") from error


def _raws(body: bytes) -> list[msgspec.Raw]:
    return _RAWS.decode(body)[: MAX_EVENTS + 1]


def _events(raws: Sequence[msgspec.Raw]) -> tuple[list[Event | msgspec.Raw], bool]:
    """Events, or the JSON that is not one, and whether no event has unknown members."""
    try:
        return [_EXACT.decode(raw) for raw in raws], True
    except (msgspec.DecodeError, RecursionError):
        return [_event(raw) for raw in raws], False


def _event(raw: msgspec.Raw) -> Event | msgspec.Raw:
    try:
        return decode_either(_EXACT, _EVENT, raw)
    except (msgspec.DecodeError, RecursionError):
        return raw


def _exact(body: bytes) -> Event | None:
    """The one ordinary event of a body, which needs no second look."""
    try:
        return _EXACT.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _envelope(body: bytes) -> _Envelope | None:
    try:
        return decode_either(_EXACT_ENVELOPE, _ENVELOPE, body)
    except msgspec.DecodeError:
        return None


def _documents(body: bytes) -> list[msgspec.Raw]:
    """The one object of a body, which may span lines, or its lines, one of whose first two must be an object."""
    try:
        _ANY.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        if b"\n" not in body or not any(map(_is_object, body.split(b"\n", 2)[:2])):
            raise MalformedRequestError(f"the body is not JSON: {error}") from error
        lines = (line.strip() for line in io.BytesIO(body))
        return [msgspec.Raw(line) for line in itertools.islice(filter(None, lines), MAX_EVENTS + 1)]
    return [msgspec.Raw(body)]


def _is_object(text: bytes) -> bool:
    try:
        return _ANY.decode(text) is not None and text.lstrip().startswith(b"{")
    except (msgspec.DecodeError, RecursionError):
        return False
