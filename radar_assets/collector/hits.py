"""Reads landed lines for the live numbers, at a tenth of the cost of the contract.

Ordinary lines are checked here, by rules no looser than the contract's; all others by the contract itself. Counting belongs to
`live.py`.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from radar_assets.events.contract import (
    CLOCK_TOLERANCE,
    DEFAULT_EVENTS,
    FUTURE_TOLERANCE,
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    MAX_TEXT,
    CanonicalEvent,
    EventType,
    Rejection,
    parse,
)
from radar_assets.events.user_agents import LOOKED_AT, client


class Hit(NamedTuple):
    """An event that the contract accepts.

    Attributes:
        at: when it happened, but no later than it was received; naive, UTC.
        visitor_id: the anonymous id, else the user id, as in the table `events`.
        page: path of the page that it happened on, if any.
        is_bot: whether it was not sent by a person, as in the table `events`.
    """

    project_id: str
    event_id: str
    event: str
    at: datetime
    visitor_id: str
    user_id: str | None
    page: str | None
    is_bot: bool


def read_hit(line: bytes) -> Hit | None:
    """The hit of a line; `None` if the contract rejects the line. The project need not exist."""
    event = _ordinary(line) or _any(line)
    return None if event is None else _hit(event)


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    event_id: _Text
    project_id: _Text
    timestamp: _Time
    received_at: _Time
    protocol: _Text
    type: EventType | None = None
    event: _Text | None = None
    category: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None = None
    user_id: _Text | None = None
    anonymous_id: _Text | None = None
    session_id: _Text | None = None
    sent_at: _Time | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None

    @property
    def event_time(self) -> datetime:
        if self.sent_at is None or abs(self.received_at - self.sent_at) <= CLOCK_TOLERANCE:
            return self.timestamp
        return self.timestamp + (self.received_at - self.sent_at)


_FIELDS = len(_Event.__struct_fields__)
_decode = msgspec.json.Decoder(_Event).decode
# Where a JSON object has a key, and also in some strings.
_KEY = re.compile(rb'":|"[ \t\r]+:')


def _ordinary(line: bytes) -> _Event | None:
    """The event of a line that the contract certainly accepts; None if that needs a closer look."""
    if len(line) > MAX_PAYLOAD_BYTES or line.count(b"[") + line.count(b"{") > MAX_DEPTH or b"\\u0000" in line:
        return None
    try:
        event = _decode(line)
        given = _FIELDS - msgspec.structs.astuple(event).count(None) + _keys(event.properties) + _keys(event.context)
    except (ValueError, RecursionError, OverflowError):
        return None
    # Duplicate keys were read only once.
    if given != len(_KEY.findall(line)):
        return None
    event.event = event.event or DEFAULT_EVENTS.get(event.type or "")
    if event.event is None or (event.user_id is None and event.anonymous_id is None):
        return None
    # The reader also takes years that the contract doesn't, and zones without a colon.
    for time in (event.timestamp, event.received_at, event.sent_at or event.timestamp):
        if time.tzinfo is not UTC or not 1970 <= time.year < 3000:
            return None
    if b'0000"' in line:
        return None
    return event if event.event_time <= event.received_at + FUTURE_TOLERANCE else None


def _keys(value: Any) -> int:
    """The number of keys in a JSON value.

    Raises:
        OverflowError: an integer in it is too large for double precision.
    """
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    if isinstance(value, int):
        float(value)
    return sum(map(_keys, value)) if isinstance(value, list) else 0


class _AnyProject:
    def __contains__(self, _: object) -> bool:
        return True


def _any(line: bytes) -> CanonicalEvent | None:
    verdict = parse(line, _AnyProject(), date.min)
    return None if isinstance(verdict, Rejection) else verdict


def _hit(event: _Event | CanonicalEvent) -> Hit:
    properties, context = event.properties or {}, event.context or {}
    page = context.get("page")
    user_agent = next(
        (
            text
            for text in (context.get("userAgent"), context.get("user_agent"), properties.get("$raw_user_agent"))
            if text is not None
        ),
        None,
    )
    return Hit(
        project_id=event.project_id,
        event_id=event.event_id,
        event=event.event or "",
        at=min(event.event_time, event.received_at).replace(tzinfo=None),
        visitor_id=event.anonymous_id or event.user_id or "",
        user_id=event.user_id,
        page=_path(properties, page if isinstance(page, dict) else {}),
        is_bot=(isinstance(user_agent, str) and client(user_agent[:LOOKED_AT]).is_bot) or _is_of_a_group(event),
    )


def _is_of_a_group(event: _Event | CanonicalEvent) -> bool:
    """Whether a server sent it about a group, by the rule of `events.sql`."""
    return (
        event.type == "group"
        and event.protocol == "posthog"
        and event.user_id is None
        and (event.anonymous_id or "").startswith("$group:")
    )


def _path(properties: dict[str, Any], page: dict[str, Any]) -> str | None:
    """The path of the page, by the rule of `events.sql`."""
    own_url = _text(properties, "url") or _text(properties, "$current_url")
    given = _text(properties, "path") or (None if own_url else _text(page, "path"))
    if given:
        path = _location(given)
    else:
        url = own_url or _text(page, "url")
        if not url:
            return None
        path = _location(url)
        scheme, slashes, rest = path.partition("//")
        if slashes and (not scheme or (scheme.endswith(":") and "/" not in scheme)):
            path = rest[len(rest.partition("/")[0]) :]
    return path if path.startswith("/") else f"/{path}"


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _location(address: str) -> str:
    return address.partition("#")[0].partition("?")[0]
