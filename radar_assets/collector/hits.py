"""Reads landed lines for the live numbers, at a tenth of the cost of the contract.

Ordinary lines are checked here, by rules no looser than the contract's; all others by the contract itself. Counting belongs to
`live.py`.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from radar_assets.events.contract import (
    DEFAULT_EVENTS,
    KINDS,
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    MAX_SEQUENCE,
    CanonicalEvent,
    PersonId,
    Rejection,
    Sequence,
    Time,
    fields_of,
    is_no_event_id,
    is_no_person_id,
    lengths,
    parse,
)
from radar_assets.events.declarations import NOTHING_DECLARED, Declarations
from radar_assets.events.interaction import is_from_server, is_interactive
from radar_assets.events.single_events import Place, client_address, is_bot, is_of_group, place


class Hit(NamedTuple):
    """An event that the contract accepts.

    Attributes:
        at: when it happened, but no later than it was received; naive, UTC.
        visitor_id: the anonymous id, else the user id, as in the table `events`.
        page: path of the page that it happened on, if any.
        is_bot: whether it was not sent by a person, as in the table `events`.
        is_internal: whether the team declares it as its own traffic, as in the table `events`.
        is_visit: whether it shows that somebody is there: interactive, and not from a server.
    """

    project_id: str
    event_id: str
    event: str
    at: datetime
    visitor_id: str
    user_id: str | None
    session_id: str | None
    page: str | None
    is_bot: bool
    is_internal: bool
    is_visit: bool


def read_hit(line: bytes, declared: Declarations = NOTHING_DECLARED) -> Hit | None:
    """The hit of a line; `None` if the contract rejects the line. The project need not exist."""
    event = _ordinary(line) or _any(line)
    return None if event is None else _hit(event, declared)


TEXT_TYPES: dict[Any, Any] = {
    kind: Annotated[str, msgspec.Meta(min_length=bounds[0], max_length=bounds[1])]
    for kind in KINDS.values()
    if (bounds := lengths(kind))
}
"""Types for decoders by the contract's kinds of texts."""
_TYPES = {
    Time: Annotated[datetime, msgspec.Meta(tz=True)],
    Sequence: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)],
    **TEXT_TYPES,
}
"""Types for the decoder by the contract's kinds of fields; the other kinds are the same."""


def _member(name: str) -> tuple[Any, ...]:
    kind = _TYPES.get(KINDS[name], KINDS[name])
    # A missing name is filled in from the type, and a missing time from the time of receipt.
    is_required = CanonicalEvent.model_fields[name].is_required() and name not in ("event", "timestamp")
    return (name, kind) if is_required else (name, kind | None, None)


_Event: Any = msgspec.defstruct(
    "_Event",
    map(_member, KINDS),
    forbid_unknown_fields=True,
    kw_only=True,
    namespace={"event_time": CanonicalEvent.event_time},
)
"""The fields of the contract, decoded without its validators."""
_FIELDS = len(_Event.__struct_fields__)
_decode = msgspec.json.Decoder(_Event).decode
# Where a JSON object has a key, and also in some strings.
_KEY = re.compile(rb'":|"[ \t\r]+:')


def _ordinary(line: bytes) -> Any:
    """The event on a line that the contract is certain to accept, or `None`."""
    if len(line) > MAX_PAYLOAD_BYTES or line.count(b"[") + line.count(b"{") > MAX_DEPTH or b"\\u0000" in line:
        return None
    try:
        event = _decode(line)
        given = (
            _FIELDS
            - msgspec.structs.astuple(event).count(None)
            + count_keys(event.properties)
            + count_keys(event.context)
        )
    except (ValueError, RecursionError, OverflowError):
        return None
    # Duplicate keys were read only once.
    if given != len(_KEY.findall(line)):
        return None
    event.event = event.event or DEFAULT_EVENTS.get(event.type or "")
    if event.event is None or (event.user_id is None and event.anonymous_id is None) or _has_odd_text(event):
        return None
    event.timestamp = event.timestamp or event.received_at
    # The reader also takes years that the contract doesn't.
    for name in _TIMES:
        time = getattr(event, name)
        if time is not None:
            if time.tzinfo is not UTC or not 1970 <= time.year < 3000:
                return None
            setattr(event, name, time.replace(tzinfo=None))
    return event


_TIMES, _PERSONS = fields_of(Time), fields_of(PersonId)


def _has_odd_text(event: Any) -> bool:
    """Whether an id may be a placeholder, or a text may be blank."""
    if event.event < "!" or event.project_id < "!" or is_no_event_id(event.event_id):
        return True
    return any((text := getattr(event, name)) and is_no_person_id(text) for name in _PERSONS)


def count_keys(value: Any) -> int:
    """The number of keys in a JSON value.

    Raises:
        OverflowError: an integer in it is too large for double precision.
    """
    if isinstance(value, int):
        float(value)
    if not isinstance(value, dict | list):
        return 0
    count, inner = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for each in inner:
        # Most are texts, for which a call would take longer than everything else here.
        if type(each) is not str:
            count += count_keys(each)
    return count


class AnyProject:
    """Known projects that include every project."""

    def __contains__(self, _: object) -> bool:
        return True


def _any(line: bytes) -> CanonicalEvent | None:
    verdict = parse(line, AnyProject(), date.min)
    return None if isinstance(verdict, Rejection) else verdict


def _hit(event: Any, declared: Declarations) -> Hit:
    properties, context = event.properties or {}, event.context or {}
    is_hash_routed = event.project_id in declared.hash_routed
    where = place(event.type, event.event, properties, context, is_hash_routed=is_hash_routed)
    page = where.path
    return Hit(
        project_id=event.project_id,
        event_id=event.event_id,
        event=event.event or "",
        at=min(event.event_time, event.received_at),
        visitor_id=event.anonymous_id or event.user_id or "",
        user_id=event.user_id,
        session_id=event.session_id,
        page=page,
        is_bot=is_bot(properties, context)
        or is_of_group(event.type, event.protocol, event.user_id, event.anonymous_id),
        is_internal=_is_internal(event, where, client_address(context), declared),
        is_visit=is_interactive(event.type, event.event or "", event.protocol, properties, context)
        and not is_from_server(event.session_id, event.type, event.event or "", page, properties, context),
    )


def _is_internal(event: Any, where: Place, address: str, declared: Declarations) -> bool:
    rules = [rule for rule in declared.internal_traffic if rule.is_for(event.project_id)]
    if not rules:
        return False
    host, query = where.host, where.query
    return any(rule.marks(host, event.user_id, query, address) for rule in rules)
