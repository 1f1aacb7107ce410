"""Whether a request is of its door's protocol, and what is stored of the parts that its events don't use.

A 200 response must not hide lost content: a body of another protocol is refused, and members that a protocol doesn't have
are kept in the event's context. Write keys are never stored. How an event is made is for each door.
"""

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import msgspec

from radar_assets.collector.door import MAX_EVENTS, Event, Failed, ForeignRequestError
from radar_assets.collector.payloads import check_shared, members_of, object_of
from radar_assets.events.contract import DEFAULT_EVENTS

UNKNOWN_MEMBERS = "unknown_members"
"""The member of `context` that holds what the protocol has no place for."""
MAX_COMPARED = 50
"""Names of a body that are compared with those they may be a misspelling of, which takes 10 µs each."""
EMPTY = (b"null", b'""')
"""Values without content."""


class _WithUnknown(Event):
    """An event whose context is not an object, which the contract rejects: the line holds its unknown members beside it."""

    unknown_members: Any = None


def _uses_all(_event: Event, _members: Mapping[str, msgspec.Raw]) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Shape:
    """The members of a protocol's events.

    Attributes:
        required: groups of names; an event has at least one name of each group.
        known: names of all members except keys. An object with no others is of the protocol, whatever it lacks.
        keys: names of members that hold the write key, which is not stored.
        expected: what a body has to look like, for error messages.
        envelope: names of the members of a batch except keys: its events, members that are used, and members that say nothing of the
            events. All others are kept in each event, like unknown members of its own.
        is_handwritten: whether people write these events by hand. Then a misspelt name counts as the required one, and the response
            names it.
        within: a member whose own members count for `required` and may hold a key as well.
        unused: known members that an event doesn't use, because of its type, say; they are kept like unknown ones.
    """

    required: tuple[frozenset[str], ...]
    known: frozenset[str]
    keys: frozenset[str]
    expected: str
    envelope: frozenset[str] = frozenset()
    is_handwritten: bool = False
    within: str = ""
    unused: Callable[[Event, Mapping[str, msgspec.Raw]], Collection[str]] = _uses_all

    def recognizes(self, members: Mapping[str, msgspec.Raw]) -> bool:
        """Whether an object is an event of the protocol, valid or not."""
        if members.keys() <= self.known | self.keys:
            return True
        names = members.keys() | members_of(members.get(self.within, msgspec.UNSET)).keys()
        return all(not names.isdisjoint(group) or self._is_misspelt(names, group) for group in self.required)

    def _is_misspelt(self, names: Collection[str], group: Collection[str]) -> bool:
        """Whether one of the names is close to one of a group. Names in camel case are those of another protocol."""
        if not self.is_handwritten:
            return False
        compared = [name for name in itertools.islice(names, MAX_COMPARED) if name.islower() and len(name) < 30]
        return any(get_close_matches(name, group, n=1, cutoff=0.8) for name in compared)

    def unknown(self, event: Event, members: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """The members with content that an event does not use."""
        known = (self.known - frozenset(self.unused(event, members))) | self.keys
        return {name: value for name, value in members.items() if name not in known and bytes(value) not in EMPTY}

    def unknown_beside(self, batch: bytes, events: int) -> dict[str, msgspec.Raw]:
        """The members with content that a batch has beside its events, and that the protocol doesn't have.

        Raises:
            TooLargeError: see `check_shared`.
        """
        known = self.envelope | self.keys
        members = members_of(msgspec.Raw(batch))
        unknown = {name: value for name, value in members.items() if name not in known and bytes(value) not in EMPTY}
        check_shared(unknown, events)
        return unknown

    def without_keys(self, raw: msgspec.Raw) -> msgspec.Raw:
        """JSON, or what should be JSON, without write keys."""
        members = members_of(raw)
        if not members:
            return msgspec.Raw(_key_pattern(self.keys).sub(rb'\1""', bytes(raw)))
        kept = {name: value for name, value in members.items() if name not in self.keys}
        inner = members_of(kept.get(self.within, msgspec.UNSET))
        if not inner.keys().isdisjoint(self.keys):
            without = {name: value for name, value in inner.items() if name not in self.keys}
            kept[self.within] = msgspec.Raw(msgspec.json.encode(without))
        elif len(kept) == len(members):
            return raw
        return msgspec.Raw(msgspec.json.encode(kept))


@cache
def _key_pattern(names: frozenset[str]) -> re.Pattern[bytes]:
    """Finds keys in torn JSON."""
    any_name = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rf'("(?:{any_name})"\s*:\s*)"[^"\\]*+(?:\\.[^"\\]*+)*+"?'.encode(), re.DOTALL)


def recognized(
    events: Sequence[Event | msgspec.Raw | Failed],
    raws: Callable[[], Sequence[msgspec.Raw]],
    shape: Shape,
    *,
    is_exact: bool = False,
    shared: Mapping[str, msgspec.Raw] = {},
) -> Sequence[Event | msgspec.Raw | Failed]:
    """The events of a request with all that was sent of them, except keys.

    Args:
        raws: gives the JSON of each event.
        is_exact: whether no event can have unknown or unused members, as a decoder that forbids them shows.
        shared: unknown members of the batch, which each event gets unless it has its own of that name.

    Raises:
        ForeignRequestError: no event is of the protocol.
    """
    if len(events) > MAX_EVENTS:
        # Refused as too large.
        return events
    incomplete = [event for event in events if not isinstance(event, Event) or is_incomplete(event)]
    is_complete = is_exact and not shared
    if is_complete and not incomplete:
        return events
    sent = raws()
    if events and len(incomplete) == len(events) and _is_foreign(sent, shape):
        raise ForeignRequestError(f"the body has no event of this protocol; expected: {shape.expected}")
    return [
        event if is_complete and isinstance(event, Event) else _whole(event, raw, shape, shared)
        for event, raw in zip(events, sent, strict=True)
    ]


def _is_foreign(sent: Sequence[msgspec.Raw], shape: Shape) -> bool:
    """Whether no event is an object of the protocol. Torn objects may be events, and `{}` is an event without a name."""
    objects = [raw for raw in sent if bytes(raw).lstrip().startswith(b"{")]
    return not any((members := object_of(raw)) is None or shape.recognizes(members) for raw in objects)


def is_incomplete(event: Event) -> bool:
    """Whether the contract is certain to reject an event, since it has no type, no name or no visitor."""
    kind = event.type
    if kind is None or kind == "track":
        is_named = bool(event.event) and isinstance(event.event, str)
    else:
        is_named = isinstance(kind, str) and kind in DEFAULT_EVENTS
    return not is_named or not (isinstance(event.user_id, str) or isinstance(event.anonymous_id, str))


def _whole(
    event: Event | msgspec.Raw | Failed, raw: msgspec.Raw, shape: Shape, shared: Mapping[str, msgspec.Raw]
) -> Event | msgspec.Raw | Failed:
    if isinstance(event, Failed):
        return Failed(event.error, shape.without_keys(raw))
    if not isinstance(event, Event):
        return shape.without_keys(event)
    members = object_of(raw)
    if members is None:
        # Such as a name that is not UTF-8, which the decoder of the event passed over.
        return shape.without_keys(raw)
    unknown = {**shared, **shape.unknown(event, members)}
    return _with_unknown(event, unknown) if unknown else event


def _with_unknown(event: Event, unknown: Mapping[str, msgspec.Raw]) -> Event:
    given = {} if event.context is None else event.context
    context = given if isinstance(given, Mapping) else object_of(given)
    if context is None:
        return _WithUnknown(**msgspec.structs.asdict(event), unknown_members=unknown)
    if UNKNOWN_MEMBERS in context:
        unknown = {UNKNOWN_MEMBERS: context[UNKNOWN_MEMBERS], **unknown}
    event.context = {**context, UNKNOWN_MEMBERS: unknown}
    return event
