"""The contract of canonical events: the rules for a landed line, and the verdict on a single one.

Limits, kinds of fields, defaults and tolerances are declared here alone: `contract_sql.py` puts them into `sql/raw_events.sql`, which
judges whole segments, and `collector/hits.py` decodes by them. Finding and reading lines belongs to the landing zone.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import md5
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from radar_assets.events.placeholders import NO_EVENT_ID, NO_PERSON_ID
from radar_assets.events.strict_json import Members, UnreadableLineError, read_object, size_bytes
from radar_assets.events.times import is_no_time, read_time

MAX_LINE_BYTES = 2**20
"""Longer lines are not parsed."""
MAX_PAYLOAD_BYTES = 32 * 2**10
"""Maximum size of `properties` and `context` together, as JSON without spaces in which every number counts as one byte. Larger
payloads are cut down."""
MAX_MEMBER_BYTES = 2**10
"""In payloads that are too large, members over this size are cut down if they are texts, else dropped."""
MAX_DEPTH = 64
MAX_TEXT = 200
"""Maximum characters of a text field. Longer ones are cut."""
HASH_CHARACTERS = 32
"""Ids that are cut end in a hyphen and so many characters of a hash of the whole, so that different ids stay different."""
MAX_SEQUENCE = 999_999_999
CLOCK_TOLERANCE = timedelta(minutes=5)
FUTURE_TOLERANCE = timedelta(hours=24)
OLDEST = datetime(1990, 1, 1)
"""Earlier times come from clocks that were reset."""


class Reason(StrEnum):
    """Why a line is rejected: the first reason that applies, for the first field that it applies to."""

    UNREADABLE_SEGMENT = "unreadable_segment"
    """The segment can't be decompressed to its end. Stands for everything after the last readable line."""
    EMPTY_SEGMENT = "empty_segment"
    """The segment has no lines. Stands for the segment."""
    LINE_TOO_LONG = "line_too_long"
    """The line has more than 1 MiB."""
    NOT_UTF8 = "not_utf8"
    """The line is not valid UTF-8."""
    TOO_DEEP = "too_deep"
    """More than 64 brackets are open at once."""
    NOT_JSON = "not_json"
    """Not valid JSON by RFC 8259, which has no NaN, no trailing commas, no byte order mark and no lone surrogates."""
    NOT_AN_OBJECT = "not_an_object"
    """Valid JSON, but not an object."""
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    """A number in the line is too large for double precision."""
    DUPLICATE_KEY = "duplicate_key"
    """The event itself has a duplicate key."""
    WRONG_TYPE = "wrong_type"
    """A required field has a value of the wrong JSON type."""
    UNKNOWN_TYPE = "unknown_type"
    """`type` is not one of the event types, and the event has no name."""
    MISSING_FIELD = "missing_field"
    """A required field is missing or empty."""
    INVALID_TIMESTAMP = "invalid_timestamp"
    """`received_at` can't be read. Other times need not be readable."""
    NO_VISITOR = "no_visitor"
    """Neither `user_id` nor `anonymous_id` is given and usable."""
    UNKNOWN_PROJECT = "unknown_project"
    """The project does not exist."""
    BEFORE_START = "before_start"
    """The event time is before `RADAR_START_DATE`."""


class Oddity(StrEnum):
    """What was wrong with a field of an accepted event. In warnings, it follows the name of the field: `user_id: empty`."""

    MISSING = "missing"
    """The event has no usable id. Its id is a hash of its line."""
    WRONG_TYPE = "wrong type"
    """The value has the wrong JSON type, and was dropped."""
    EMPTY = "empty"
    """The value is blank, or a time that is zero, or a payload without members that is not an object. It was dropped."""
    PLACEHOLDER = "placeholder"
    """The id is one that programs send if they have none, such as `undefined`, and was dropped."""
    UNKNOWN = "unknown"
    """The type is not one of the event types. The event counts as `track`."""
    TOO_LONG = "too long"
    """The text has more than 200 characters, and was cut."""
    NUL_CHARACTER = "nul character"
    """The text contains U+0000, which few systems can store. U+FFFD is in its place."""
    UNREADABLE = "unreadable"
    """The time can't be read, and was dropped."""
    TOO_OLD = "too old"
    """The event would have happened before 1990. It counts when it was received."""
    IN_THE_FUTURE = "in the future"
    """The event would have happened more than 24 hours after it was received. It counts when it was received."""
    BEFORE_TIMESTAMP = "before timestamp"
    """By `sent_at`, the event was sent before it happened, so it says nothing about the sender's clock."""
    DUPLICATE_KEY = "duplicate key"
    """The payload has a duplicate key. The last value was kept."""
    TOO_LARGE = "too large"
    """`properties` and `context` have more than 32 KiB together. Members over 1 KiB were cut if they are texts, else dropped; if that
    was not enough, the whole payload was."""


@dataclass(frozen=True)
class Rejection:
    """The verdict on a line that is not a canonical event.

    Attributes:
        detail: the invalid field and the problem, such as `event: not given`.
    """

    reason: Reason
    detail: str


class _RejectedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.rejection = Rejection(reason, detail)


Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
Category = Annotated[str, StringConstraints(min_length=0, max_length=MAX_TEXT)]
# The last member only tells the kinds apart.
EventId = Annotated[Text, "id of an event"]
PersonId = Annotated[Text, "id of a person, a device or a session"]
Sequence = Annotated[int, Field(ge=0, le=MAX_SEQUENCE)]
Time = datetime
EventType = Literal["track", "page", "screen", "identify", "group", "alias"]
Object = dict[str, Any]

PLACEHOLDERS: Mapping[Any, str] = {EventId: NO_EVENT_ID, PersonId: NO_PERSON_ID}
"""By kind of id, a regular expression for texts that stand for none. Applied to texts of at most `MAX_TEXT` characters."""
BLANKS = " \t\r\n"
REPLACEMENT = "\ufffd"
"""Stands for U+0000."""

DEFAULT_TYPE: EventType = "track"
DEFAULT_EVENTS = {
    "page": "page_view",
    "screen": "screen_view",
    "identify": "identify",
    "group": "group",
    "alias": "alias",
}


class CanonicalEvent(BaseModel):
    """An event as it lands. Unknown fields are ignored, and null means absent. Times are naive and in UTC."""

    model_config = ConfigDict(strict=True, frozen=True)

    event_id: EventId
    """Defaults to a hash of the line."""
    project_id: Text
    type: EventType = DEFAULT_TYPE
    event: Text
    """Defaults to `page_view` for pages, `screen_view` for screens, and the type itself for other types except `track`."""
    category: Category | None = None
    user_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    session_id: PersonId | None = None
    timestamp: Time
    """Defaults to `received_at`."""
    sent_at: Time | None = None
    received_at: Time
    protocol: Text | None = None
    properties: Object | None = None
    context: Object | None = None
    sequence: Sequence | None = None

    @property
    def event_time(self) -> datetime:
        """When it happened: `timestamp`, corrected for the sender's clock; `received_at` if that can't be."""
        at = corrected(self.timestamp, self.sent_at, self.received_at)
        return at if OLDEST <= at <= self.received_at + FUTURE_TOLERANCE else self.received_at


def corrected(timestamp: datetime, sent_at: datetime | None, received_at: datetime) -> datetime:
    """The timestamp by the collector's clock, if the sender's is certain to be off by more than five minutes.

    A smaller difference comes from the network, and correcting it would reorder a visitor's events. An event that was sent before it
    happened shows that `sent_at` is wrong, and one that happened when it was received has no time by the sender's clock.
    """
    if sent_at is None or timestamp == received_at or sent_at < timestamp - CLOCK_TOLERANCE:
        return timestamp
    drift = received_at - sent_at
    return timestamp + drift if abs(drift) > CLOCK_TOLERANCE else timestamp


class AcceptedEvent(CanonicalEvent):
    """An event that the contract accepts, and what was dropped or cut: `field: oddity`, separated by commas; `None` if nothing."""

    warnings: str | None = None


REQUIRED = ("project_id", "event", "received_at")
"""An event also needs one of `user_id` and `anonymous_id`."""


def _kind(hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if NoneType in get_args(hint) else hint


KINDS: dict[str, Any] = {
    name: _kind(hint)
    for name, hint in get_type_hints(CanonicalEvent, include_extras=True).items()
    if name in CanonicalEvent.model_fields
}
"""The kind of each field: `Text`, `Category`, `EventId`, `PersonId`, `Time`, `EventType`, `Sequence` or `Object`."""


def fields_of(*kinds: Any) -> tuple[str, ...]:
    """The fields of some kinds, in order."""
    return tuple(name for name, kind in KINDS.items() if kind in kinds)


def lengths(kind: Any) -> tuple[int, int] | None:
    """Minimum and maximum characters of a kind of text; `None` for other kinds."""
    for constraint in getattr(kind, "__metadata__", ()):
        if isinstance(constraint, StringConstraints):
            return constraint.min_length or 0, constraint.max_length or 0
    return None


def _placeholder_test(kind: Any) -> Callable[[str], bool]:
    fullmatch = re.compile(PLACEHOLDERS[kind]).fullmatch
    return lambda text: len(text) <= MAX_TEXT and fullmatch(text) is not None


# Functions of their own, because looking up a kind takes longer than the test.
is_no_event_id, is_no_person_id = _placeholder_test(EventId), _placeholder_test(PersonId)
"""Whether a text stands for no id, such as `undefined`."""
_IS_PLACEHOLDER = {EventId: is_no_event_id, PersonId: is_no_person_id}


def parse(line: bytes, projects: Container[str], start_date: date) -> AcceptedEvent | Rejection:
    """Parse a line: the event, or why it is rejected.

    Args:
        line: the line without its line feed.
        projects: ids of the known projects.
        start_date: first day of the platform.
    """
    try:
        return _event(line, projects, start_date)
    except _RejectedError as error:
        return error.rejection
    except UnreadableLineError as error:
        return Rejection(Reason(error.reason), error.detail)


def _event(line: bytes, projects: Container[str], start_date: date) -> AcceptedEvent:
    document = read_object(line, MAX_LINE_BYTES, MAX_DEPTH)
    if document.has_duplicates:
        raise _RejectedError(Reason.DUPLICATE_KEY, "line: duplicate key")
    fields: dict[str, Any] = {}
    oddities: dict[str, Oddity] = {}
    for name, kind in KINDS.items():
        fields[name], oddity = (None, None) if document.get(name) is None else _read(kind, document[name])
        if oddity:
            oddities[name] = oddity
    fields["type"] = fields["type"] or DEFAULT_TYPE
    fields["event"] = fields["event"] or DEFAULT_EVENTS.get(fields["type"])
    _check_required(fields, oddities, document)
    if fields["event_id"] is None:
        fields["event_id"] = md5(line, usedforsecurity=False).hexdigest()
        oddities.setdefault("event_id", Oddity.MISSING)
    fields["timestamp"] = fields["timestamp"] or fields["received_at"]
    if len(line) > MAX_PAYLOAD_BYTES:
        oddities.update(_cut_payloads(fields))
    event = CanonicalEvent(**fields)
    oddities.update(_odd_times(event))
    if event.project_id not in projects:
        raise _RejectedError(Reason.UNKNOWN_PROJECT, f"project_id: {event.project_id}")
    if event.event_time.date() < start_date:
        raise _RejectedError(Reason.BEFORE_START, f"timestamp: {event.event_time}")
    warnings = ", ".join(f"{name}: {oddities[name]}" for name in KINDS if name in oddities)
    return AcceptedEvent(**fields, warnings=warnings or None)


_REJECTED_AS = {Oddity.WRONG_TYPE: Reason.WRONG_TYPE, Oddity.UNREADABLE: Reason.INVALID_TIMESTAMP}


def _check_required(fields: Mapping[str, Any], oddities: Mapping[str, Oddity], document: Mapping[str, Any]) -> None:
    absent = [name for name in REQUIRED if fields[name] is None]
    reasons = {name: _REJECTED_AS.get(oddities.get(name, Oddity.MISSING), Reason.MISSING_FIELD) for name in absent}
    if reasons.get("event") is Reason.MISSING_FIELD and oddities.get("type") is Oddity.UNKNOWN:
        reasons["type"] = Reason.UNKNOWN_TYPE
    for reason in Reason:
        for name in KINDS:
            if reasons.get(name) is reason:
                value = document.get(name)
                raise _RejectedError(reason, f"{name}: {'not given' if value in (None, '') else str(value)[:100]}")
    if fields["user_id"] is None and fields["anonymous_id"] is None:
        unusable = oddities.get("user_id", "not given")
        raise _RejectedError(Reason.NO_VISITOR, f"user_id: {unusable}, and anonymous_id is not usable either")


_Reading = tuple[Any, Oddity | None]


def _read(kind: Any, value: Any) -> _Reading:
    """The usable part of a value that is not null, if any, and what is wrong with the value."""
    if kind is Object:
        return _read_object(value)
    if kind is Sequence:
        is_position = type(value) is int and 0 <= value <= MAX_SEQUENCE
        return (value, None) if is_position else (None, Oddity.WRONG_TYPE)
    text = _text(value)
    if text is None:
        return None, Oddity.WRONG_TYPE
    if kind is Time:
        at = read_time(text)
        return at, None if at else Oddity.EMPTY if is_no_time(text) else Oddity.UNREADABLE
    if kind is EventType:
        known = isinstance(value, str) and text.lower() in get_args(EventType)
        return (text.lower(), None) if known else (None, Oddity.UNKNOWN)
    return _read_text(kind, text)


def _text(value: Any) -> str | None:
    """A text or number as text, whole numbers without a fraction; `None` for other values."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 2**63):
        # Others are written differently by different engines.
        return format(Decimal(repr(value)), "f") if 1e-4 <= abs(value) < 1e15 else None
    return str(int(value))


def _read_text(kind: Any, text: str) -> _Reading:
    minimum, maximum = lengths(kind) or (0, MAX_TEXT)
    if minimum and not text.strip(BLANKS):
        return None, Oddity.EMPTY
    if kind in _IS_PLACEHOLDER and _IS_PLACEHOLDER[kind](text):
        return None, Oddity.PLACEHOLDER
    usable = text.replace("\0", REPLACEMENT)
    if len(usable) <= maximum:
        return usable, Oddity.NUL_CHARACTER if usable != text else None
    if kind not in PLACEHOLDERS:
        return usable[:maximum], Oddity.TOO_LONG
    digest = md5(usable.encode(), usedforsecurity=False).hexdigest()
    return f"{usable[: maximum - HASH_CHARACTERS - 1]}-{digest}", Oddity.TOO_LONG


def _read_object(value: Any) -> _Reading:
    if isinstance(value, Members):
        return value, Oddity.DUPLICATE_KEY if value.has_duplicates else None
    # An empty object as PHP writes it, or a blank text.
    is_empty = value == [] or (isinstance(value, str) and not value.strip(BLANKS))
    return None, Oddity.EMPTY if is_empty else Oddity.WRONG_TYPE


def _cut_payloads(fields: dict[str, Any]) -> dict[str, Oddity]:
    """Cut down payloads that are too large together; what was cut."""
    payloads = {name: fields[name] for name in fields_of(Object) if fields[name] is not None}
    sizes = {name: size_bytes(payload) for name, payload in payloads.items()}
    if sum(sizes.values()) <= MAX_PAYLOAD_BYTES:
        return {}
    fields.update((name, dict(_cut_members(payload))) for name, payload in payloads.items())
    left = {name: size_bytes(fields[name]) for name in payloads}
    for name in payloads:
        if sum(left.values()) > MAX_PAYLOAD_BYTES:
            fields[name], left[name] = None, 0
    return {name: Oddity.TOO_LARGE for name in payloads if left[name] < sizes[name]}


def _cut_members(payload: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in payload.items():
        if size_bytes(value) <= MAX_MEMBER_BYTES:
            yield name, value
        elif isinstance(value, str):
            yield name, value[:MAX_TEXT]


def _odd_times(event: CanonicalEvent) -> Iterator[tuple[str, Oddity]]:
    timestamp, sent_at, received_at = event.timestamp, event.sent_at, event.received_at
    is_clock_off = sent_at is not None and timestamp != received_at and abs(received_at - sent_at) > CLOCK_TOLERANCE
    if sent_at is not None and is_clock_off and sent_at < timestamp - CLOCK_TOLERANCE:
        yield "sent_at", Oddity.BEFORE_TIMESTAMP
    at = corrected(timestamp, sent_at, received_at)
    if at < OLDEST:
        yield "timestamp", Oddity.TOO_OLD
    elif at > received_at + FUTURE_TOLERANCE:
        yield "timestamp", Oddity.IN_THE_FUTURE
