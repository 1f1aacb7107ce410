"""The contract of canonical events: the rules for a landed line, and the verdict on a single one.

Limits, kinds of fields, defaults and tolerances are declared here alone: `contract_sql.py` puts them into `sql/raw_events.sql`, which
judges whole segments, and `collector/hits.py` decodes by them. Finding and reading lines belongs to the landing zone.
"""

import json
import re
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from math import isinf
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, Self, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAX_LINE_BYTES = 128 * 2**10
"""Longer lines are not parsed. The largest payload and the longest fields need less than half of this."""
MAX_PAYLOAD_BYTES = 32 * 2**10
"""Maximum size of `properties` and `context` together, as sent."""
MAX_DEPTH = 64
MAX_TEXT = 200
"""Maximum characters of a text field."""
CLOCK_TOLERANCE = timedelta(minutes=5)
FUTURE_TOLERANCE = timedelta(hours=24)


class Reason(StrEnum):
    """Why a line is rejected: the first reason that applies, for the first field that it applies to."""

    UNREADABLE_SEGMENT = "unreadable_segment"
    """The segment can't be decompressed to its end. Stands for everything after the last readable line."""
    EMPTY_SEGMENT = "empty_segment"
    """The segment has no lines. Stands for the segment."""
    LINE_TOO_LONG = "line_too_long"
    """The line has more than 128 KiB."""
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
    """The event, its properties or its context has a duplicate key."""
    WRONG_TYPE = "wrong_type"
    """A field has a value of the wrong JSON type."""
    UNKNOWN_TYPE = "unknown_type"
    """`type` is not one of the event types."""
    MISSING_FIELD = "missing_field"
    """A required field is missing."""
    WRONG_LENGTH = "wrong_length"
    """A text field is empty or has more than 200 characters."""
    NUL_CHARACTER = "nul_character"
    """A text field contains U+0000, which few downstream systems can store."""
    INVALID_TIMESTAMP = "invalid_timestamp"
    """A time is not RFC 3339 with a zone, between the years 1900 and 2999."""
    NO_VISITOR = "no_visitor"
    """Both `user_id` and `anonymous_id` are missing."""
    PAYLOAD_TOO_LARGE = "payload_too_large"
    """`properties` and `context` have more than 32 KiB together."""
    UNKNOWN_PROJECT = "unknown_project"
    """The project does not exist."""
    FUTURE = "future"
    """The event time is more than 24 hours after the received time."""
    BEFORE_START = "before_start"
    """The event time is before `RADAR_START_DATE`."""


@dataclass(frozen=True)
class Rejection:
    """The verdict on a line that is not a canonical event.

    Attributes:
        detail: the invalid field and the problem, such as `user_id: 0 characters`.
    """

    reason: Reason
    detail: str


class _RejectedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.rejection = Rejection(reason, detail)


RFC3339 = (
    r"(?:19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[-+](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
"""A regular expression for times with a zone. It works in Python and in SQL engines, and doesn't check the length of months."""
_RFC3339 = re.compile(RFC3339)


def _time(value: Any) -> datetime:
    """An RFC 3339 time as a naive datetime in UTC; digits beyond microseconds are dropped."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("wrong_type", "not a string")
    with suppress(ValueError):
        if _RFC3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC).replace(tzinfo=None)
    raise PydanticCustomError("invalid_timestamp", "{value}", {"value": value[:100]})


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "contains U+0000")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), AfterValidator(_without_nul)]
Category = Annotated[str, StringConstraints(min_length=0, max_length=MAX_TEXT), AfterValidator(_without_nul)]
Time = Annotated[datetime, BeforeValidator(_time)]
EventType = Literal["track", "page", "screen", "identify", "group", "alias"]
Object = dict[str, Any]

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

    event_id: Text
    project_id: Text
    type: EventType = DEFAULT_TYPE
    event: Text
    """Defaults to `page_view` for pages, `screen_view` for screens, and the type itself for other types except `track`."""
    category: Category | None = None
    user_id: Text | None = None
    anonymous_id: Text | None = None
    session_id: Text | None = None
    timestamp: Time
    sent_at: Time | None = None
    received_at: Time
    protocol: Text
    properties: Object | None = None
    context: Object | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        given = {name: value for name, value in fields.items() if value is not None}
        kind = given.get("type")
        if "event" not in given and isinstance(kind, str) and kind in DEFAULT_EVENTS:
            given["event"] = DEFAULT_EVENTS[kind]
        return given

    @model_validator(mode="after")
    def _has_visitor(self) -> Self:
        if self.user_id is None and self.anonymous_id is None:
            raise PydanticCustomError("no_visitor", "not given, nor is anonymous_id")
        return self

    @property
    def event_time(self) -> datetime:
        """When it happened: `timestamp`, corrected if the sender's clock is off by more than five minutes.

        A smaller difference comes from the network, and correcting it would reorder a visitor's events.
        """
        if self.sent_at is None or abs(self.received_at - self.sent_at) <= CLOCK_TOLERANCE:
            return self.timestamp
        return self.timestamp + (self.received_at - self.sent_at)


def _kind(hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if NoneType in get_args(hint) else hint


KINDS: dict[str, Any] = {
    name: _kind(hint)
    for name, hint in get_type_hints(CanonicalEvent, include_extras=True).items()
    if name in CanonicalEvent.model_fields
}
"""The kind of each field: `Text`, `Category`, `Time`, `EventType` or `Object`."""


def fields_of(*kinds: Any) -> tuple[str, ...]:
    """The fields of some kinds, in order."""
    return tuple(name for name, kind in KINDS.items() if kind in kinds)


def lengths(kind: Any) -> tuple[int, int] | None:
    """Minimum and maximum characters of a kind of text; `None` for other kinds."""
    for constraint in getattr(kind, "__metadata__", ()):
        if isinstance(constraint, StringConstraints):
            return constraint.min_length or 0, constraint.max_length or 0
    return None


def parse(line: bytes, projects: Container[str], start_date: date) -> CanonicalEvent | Rejection:
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


def _event(line: bytes, projects: Container[str], start_date: date) -> CanonicalEvent:
    text = _decode(line)
    event = _validated(_document(text))
    size = _payload_bytes(text) if len(line) > MAX_PAYLOAD_BYTES else 0
    if size > MAX_PAYLOAD_BYTES:
        raise _RejectedError(Reason.PAYLOAD_TOO_LARGE, f"properties: {size} bytes with context")
    if event.project_id not in projects:
        raise _RejectedError(Reason.UNKNOWN_PROJECT, f"project_id: {event.project_id}")
    if event.event_time > event.received_at + FUTURE_TOLERANCE:
        raise _RejectedError(Reason.FUTURE, f"timestamp: {event.event_time}, received at {event.received_at}")
    if event.event_time.date() < start_date:
        raise _RejectedError(Reason.BEFORE_START, f"timestamp: {event.event_time}")
    return event


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def _decode(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise _RejectedError(Reason.LINE_TOO_LONG, f"line: {len(line)} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _RejectedError(Reason.NOT_UTF8, f"line: {error.reason} at byte {error.start}") from error
    # Checked before any recursive parser reads the line.
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            raise _RejectedError(Reason.TOO_DEEP, f"line: over {MAX_DEPTH} brackets are open")
    return text


class _Object(dict[str, Any]):
    """A JSON object that records whether it had duplicate keys."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.has_duplicates = len(self) < len(pairs)


def _document(text: str) -> _Object:
    out_of_range: list[str] = []

    def number(digits: str) -> float:
        value = float(digits)
        if isinf(value):
            out_of_range.append(digits)
        return value

    def whole_number(digits: str) -> int | float:
        # Converted to a float first, since Python refuses to parse integers with thousands of digits.
        value = number(digits)
        return value if isinf(value) else int(digits)

    try:
        document = json.loads(
            text, object_pairs_hook=_Object, parse_float=number, parse_int=whole_number, parse_constant=_no_constant
        )
    except ValueError as error:
        raise _RejectedError(Reason.NOT_JSON, f"line: {error}") from error
    if _has_lone_surrogate(text):
        raise _RejectedError(Reason.NOT_JSON, "line: an unpaired surrogate is escaped")
    if not isinstance(document, _Object):
        raise _RejectedError(Reason.NOT_AN_OBJECT, f"line: {text[:100]}")
    if out_of_range:
        raise _RejectedError(Reason.NUMBER_OUT_OF_RANGE, f"line: {out_of_range[0][:100]}")
    for name, value in {"line": document, **document}.items():
        if name in ("line", "properties", "context") and isinstance(value, _Object) and value.has_duplicates:
            raise _RejectedError(Reason.DUPLICATE_KEY, f"{name}: duplicate key")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _has_lone_surrogate(text: str) -> bool:
    """Whether JSON has an unpaired `\\ud800` to `\\udfff`, which Python's parser accepts."""
    escapes = re.sub(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", "", text.replace(r"\\", ""))
    return re.search(r"\\u[dD][89a-fA-F]", escapes) is not None


_REASONS = {
    "missing": Reason.MISSING_FIELD,
    "string_type": Reason.WRONG_TYPE,
    "dict_type": Reason.WRONG_TYPE,
    "string_too_short": Reason.WRONG_LENGTH,
    "string_too_long": Reason.WRONG_LENGTH,
    "literal_error": Reason.UNKNOWN_TYPE,
}
_RANKS = {reason: rank for rank, reason in enumerate(Reason)}


def _validated(document: _Object) -> CanonicalEvent:
    try:
        return CanonicalEvent.model_validate(document)
    except ValidationError as error:
        rejections = [_rejection(problem) for problem in error.errors(include_url=False)]
        first = min(rejections, key=lambda rejection: _RANKS[rejection.reason])
        raise _RejectedError(first.reason, first.detail) from error


def _rejection(problem: Any) -> Rejection:
    value, words = problem["input"], problem["msg"]
    reason = _REASONS.get(problem["type"]) or Reason(problem["type"])
    if reason is Reason.UNKNOWN_TYPE and not isinstance(value, str):
        reason = Reason.WRONG_TYPE
    if reason is Reason.MISSING_FIELD:
        words = "not given"
    elif reason is Reason.WRONG_TYPE:
        words = json.dumps(value)[:100]
    elif reason is Reason.UNKNOWN_TYPE:
        words = value[:100]
    elif reason is Reason.WRONG_LENGTH:
        words = f"{len(value)} characters"
    field = problem["loc"][0] if problem["loc"] else "user_id"
    return Rejection(reason, f"{field}: {words}")


def _payload_bytes(text: str) -> int:
    """Size of the values of `properties` and `context` in the JSON object `text`, as sent."""
    decoder = json.JSONDecoder()
    size, at = 0, text.index("{") + 1
    while True:
        key, at = decoder.raw_decode(text, _skip(text, at))
        start = _skip(text, _skip(text, at) + 1)
        _, at = decoder.raw_decode(text, start)
        if key in ("properties", "context"):
            size += len(text[start:at].encode())
        at = _skip(text, at)
        if text[at] == "}":
            return size
        at += 1


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
