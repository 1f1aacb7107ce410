"""The response of Radar's own protocol: which events of a request the contract accepts, and why it rejects the others.

Ordinary events are recognized without parsing their lines, so that good events cost next to nothing; all others are judged by the
contract itself.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import msgspec

from radar_assets.collector.bodies import SMALL_BYTES
from radar_assets.collector.door import Event, Failed
from radar_assets.collector.hits import TEXT_TYPES, AnyProject, count_keys
from radar_assets.collector.payloads import is_object
from radar_assets.collector.recognition import UNKNOWN_MEMBERS
from radar_assets.events.contract import (
    DEFAULT_EVENTS,
    FUTURE_TOLERANCE,
    KINDS,
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    Object,
    Reason,
    Rejection,
    Time,
    corrected,
    is_no_person_id,
    parse,
)

MAX_PARSED_BYTES = SMALL_BYTES
"""Of the lines of a request; parsing so many takes 30 ms. Events beyond it count as unchecked."""
MAX_CHECKED_PAYLOADS = 10
"""In requests with more events, the content of payloads is not checked, which would slow down batches."""
MAX_LISTED = 100
"""Rejected events, and unknown fields, that a response names."""


class EventError(msgspec.Struct, gc=False):
    """A rejected event: its position in the request from 0, the reason, the field and what to do."""

    index: int
    reason: str
    field: str
    detail: str
    fix: str


class FieldWarning(msgspec.Struct, gc=False):
    """A field that Radar doesn't know, or of which something was dropped or cut, and the number of events that have it."""

    field: str
    events: int
    detail: str


class Report(msgspec.Struct, kw_only=True, gc=False):
    """The response to a request whose events are on disk.

    Attributes:
        status: `accepted` if the contract rejects no event, `rejected` if it accepts none, else `partial`.
        unchecked: events that were stored but not checked here, because too many others had to be parsed; left out if there are none.
        errors, warnings: the first of each.
    """

    status: str = "accepted"
    accepted: int = 0
    rejected: int = 0
    unchecked: int | msgspec.UnsetType = msgspec.UNSET
    errors: Sequence[EventError] = ()
    warnings: Sequence[FieldWarning] = ()


def _field(name: str) -> tuple[str, Any, Any]:
    kind = KINDS[name]
    if kind is Object:
        return name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET
    return name, (str if kind is Time else TEXT_TYPES.get(kind, kind)) | None, None


TypedEvent: Any = msgspec.defstruct(
    "TypedEvent", map(_field, Event.__struct_fields__), bases=(Event,), forbid_unknown_fields=True
)
"""An event without unknown fields, whose fields have the types and lengths of the contract. Times and payloads are not decoded."""

NOTHING = msgspec.json.encode(Report())
"""The report on a request without events, or whose events are dropped."""
_BAD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes that may stand for U+0000 or half a character."""
_decode, _convert = msgspec.json.Decoder().decode, msgspec.convert


def report_on(
    events: Sequence[Event | msgspec.Raw | Failed], lines: bytes, received_at: datetime, start_date: date
) -> str:
    """The `Report` on the events of a request, as JSON.

    Args:
        events: as read, with the ids and times that they got with their lines.
        lines: their lines, each with its line feed.
        received_at: naive, UTC.
        start_date: first day of the platform.
    """
    odd = _odd(events, lines, received_at, start_date)
    if not odd:
        return _all_accepted(len(events))
    separate, parsed_bytes, unchecked = lines.split(b"\n"), 0, 0
    rejected = list[tuple[int, Rejection]]()
    oddities = Counter[str]()
    for index in odd:
        parsed_bytes += len(separate[index])
        if parsed_bytes > MAX_PARSED_BYTES:
            unchecked += 1
        elif isinstance(verdict := parse(separate[index], AnyProject(), start_date), Rejection):
            rejected.append((index, verdict))
        elif verdict.warnings:
            oddities.update(verdict.warnings.split(", "))
    accepted = len(events) - len(rejected) - unchecked
    report = Report(
        status="partial" if rejected and accepted else "rejected" if rejected else "accepted",
        accepted=accepted,
        rejected=len(rejected),
        unchecked=unchecked or msgspec.UNSET,
        errors=[_error(index, rejection) for index, rejection in rejected[:MAX_LISTED]],
        warnings=[*_warnings([events[index] for index in odd]), *_dropped(oddities)],
    )
    return msgspec.json.encode(report).decode()


@lru_cache
def _all_accepted(events: int) -> str:
    return msgspec.json.encode(Report(accepted=events)).decode()


def _odd(events: Sequence[Any], lines: bytes, received_at: datetime, start_date: date) -> Sequence[int]:
    """The positions of the events that the contract may reject, or that have unknown fields."""
    # Searching for a text that is absent takes a fraction of the time of the pattern.
    if b"\\u" in lines and _BAD_ESCAPE.search(lines):
        return range(len(events))
    # The time of events that come without one.
    received = received_at.isoformat() + "Z"
    earliest = datetime(start_date.year, start_date.month, start_date.day)
    latest = received_at + FUTURE_TOLERANCE
    is_plain = _is_plain if len(events) <= MAX_CHECKED_PAYLOADS else is_object
    odd = [
        index
        for index, event in enumerate(events)
        if type(event) is not TypedEvent
        or not ((event.event and event.event >= "!") or (event.event is None and event.type in DEFAULT_EVENTS))
        or not (_is_person(event.anonymous_id) or _is_person(event.user_id))
        or not (
            (event.timestamp == received and event.sent_at is None)
            or ((at := _time(event, received_at)) and earliest <= at <= latest)
        )
        or not (event.properties is msgspec.UNSET or is_plain(event.properties))
        or not (event.context is msgspec.UNSET or is_plain(event.context))
    ]
    if len(lines) <= MAX_PAYLOAD_BYTES:
        return odd
    large = [index for index, line in enumerate(lines.split(b"\n")) if len(line) > MAX_PAYLOAD_BYTES]
    return sorted({*odd, *large})


def _is_person(text: str | None) -> bool:
    return bool(text) and not is_no_person_id(text)


def _time(event: Any, received_at: datetime) -> datetime | None:
    """When an event happened, naive, UTC; `None` if the contract may not read its times."""
    at = _utc(event.timestamp)
    if at is None or event.sent_at is None:
        return at
    sent_at = _utc(event.sent_at)
    return sent_at and corrected(at, sent_at, received_at)


def _utc(text: str) -> datetime | None:
    """A time in UTC; `None` if the contract may reject it."""
    # Without the Z it is naive at once.
    try:
        at = _convert(text[:-1], datetime) if text.endswith("Z") else None
    except (ValueError, OverflowError):
        return None
    return at if at and at.tzinfo is None and 1970 <= at.year < 3000 else None


def _is_plain(payload: Any) -> bool:
    """Whether a payload is an object that is certain to have no duplicate keys, odd numbers or deep nesting."""
    if not isinstance(payload, msgspec.Raw):
        # Unknown fields were added.
        return False
    text = bytes(payload)
    # Without escapes, `":` is only found after keys.
    if not text.startswith(b"{") or b"\\" in text or text.count(b"[") + text.count(b"{") >= MAX_DEPTH:
        return False
    try:
        return count_keys(_decode(text)) == text.count(b'":')
    except (ValueError, RecursionError, OverflowError):
        return False


def _error(index: int, rejection: Rejection) -> EventError:
    field, _, detail = rejection.detail.partition(": ")
    return EventError(index, rejection.reason, field, detail, _fix(rejection.reason, field))


_FIXES: Mapping[Reason, str] = {
    Reason.LINE_TOO_LONG: "Send less in properties and context.",
    Reason.NOT_UTF8: "Encode the body as UTF-8.",
    Reason.TOO_DEEP: f"Nest at most {MAX_DEPTH} objects and arrays.",
    Reason.NOT_JSON: "Send valid JSON (RFC 8259).",
    Reason.NOT_AN_OBJECT: 'Send each event as an object, such as {"event": "signup", "user_id": "42"}.',
    Reason.NUMBER_OUT_OF_RANGE: "Send numbers below 1.8e308, or as text.",
    Reason.DUPLICATE_KEY: "Send each key of an object once.",
    Reason.NO_VISITOR: "Send user_id or anonymous_id, and leave them out if you have none.",
    Reason.BEFORE_START: "Set RADAR_START_DATE to an earlier day to keep older events.",
}


def _fix(reason: Reason, field: str) -> str:
    if field == "event" and reason in (Reason.MISSING_FIELD, Reason.WRONG_TYPE):
        return 'Send the name of the event as text, such as "event": "signup".'
    if reason is Reason.MISSING_FIELD:
        return f"Send {field}."
    if reason is Reason.WRONG_TYPE:
        return f"Send {field} as text."
    if reason is Reason.UNKNOWN_TYPE:
        return "Send track, page, screen, identify, group or alias."
    return _FIXES.get(reason, "")


def _warnings(events: Sequence[Any]) -> list[FieldWarning]:
    unknown = Counter(name for event in events for name in _unknown(event))
    return [FieldWarning(name, count, _advice(name)) for name, count in unknown.most_common(MAX_LISTED)]


def _dropped(oddities: Counter[str]) -> Iterator[FieldWarning]:
    for warning, events in oddities.most_common(MAX_LISTED):
        field, _, oddity = warning.partition(": ")
        yield FieldWarning(field, events, f"{oddity}; dropped or cut, and the rest of the event is kept.")


def _unknown(event: Any) -> Iterator[str]:
    """The names of the top-level fields of an event that Radar doesn't know."""
    context = getattr(event, "context", None)
    # A context without unknown fields has not been decoded.
    members = context.get(UNKNOWN_MEMBERS) if isinstance(context, dict) else getattr(event, UNKNOWN_MEMBERS, None)
    if isinstance(members, dict):
        yield from (name for name in members if name != UNKNOWN_MEMBERS)


def _advice(name: str) -> str:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name[:100])
    meant = get_close_matches(snake, Event.__struct_fields__, n=1, cutoff=0.8)
    hint = f"did you mean {meant[0]}?" if meant else "send your own fields in properties."
    return f"unknown field {name[:100]}; {hint} It is kept in context.{UNKNOWN_MEMBERS}."
