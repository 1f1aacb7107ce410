"""Whether a request is of its door's protocol, and what is kept of events that lack what makes them events.

A 200 response must not hide content that goes nowhere: a request of another protocol is malformed, and an event that the
contract is certain to reject lands with all that was sent of it. How an event is made of what was sent is for each door.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from radar_assets.collector.door import Event, Failed, MalformedRequestError
from radar_assets.collector.payloads import members_of
from radar_assets.events.contract import DEFAULT_EVENTS, MAX_LINE_BYTES


class _Incomplete(Event):
    """An event that the contract is certain to reject, and all that was sent of it; the contract ignores that field."""

    source: Any = None


@dataclass(frozen=True)
class Shape:
    """What objects of a protocol have.

    Attributes:
        required: names of members; an event has at least one of each group.
        known: names of all members that the protocol has. An object with no others is of the protocol, whatever it lacks.
        within: a member whose own members count for `required` as well.
        unkept: members that must not reach a disk, such as keys, or that the event holds elsewhere.
        expected: how a body has to look, for the sender of another one.
    """

    required: tuple[frozenset[str], ...]
    known: frozenset[str]
    expected: str
    within: str = ""
    unkept: frozenset[str] = frozenset()

    def recognizes(self, members: Mapping[str, msgspec.Raw]) -> bool:
        """Whether an object is an event of the protocol, be it a bad one."""
        if members.keys() <= self.known:
            return True
        names = members.keys() | members_of(members.get(self.within, msgspec.UNSET)).keys()
        return all(not names.isdisjoint(group) for group in self.required)


def recognized(
    events: Sequence[Event | msgspec.Raw | Failed], raws: Callable[[], Sequence[msgspec.Raw]], shape: Shape
) -> Sequence[Event | msgspec.Raw | Failed]:
    """The events of a request, with what was sent as the `source` of incomplete ones and the `raw` of failed ones.

    Args:
        raws: gives what each event was made of.

    Raises:
        MalformedRequestError: none of them is of the protocol.
    """
    incomplete = [event for event in events if not isinstance(event, Event) or is_incomplete(event)]
    if not incomplete:
        return events
    sent = raws()
    if len(incomplete) == len(events) and _is_foreign(sent, shape):
        raise MalformedRequestError(f"no event of this protocol is in the body; expected: {shape.expected}")
    return [_whole(event, raw, shape.unkept) for event, raw in zip(events, sent, strict=True)]


def _is_foreign(sent: Sequence[msgspec.Raw], shape: Shape) -> bool:
    has_object = False
    for raw in sent:
        if members := members_of(raw):
            if shape.recognizes(members):
                return False
            has_object = True
    return has_object


def is_incomplete(event: Event) -> bool:
    """Whether the contract is certain to reject an event, since it has no type, no name or no visitor."""
    kind = event.type
    if kind is None or kind == "track":
        is_named = bool(event.event) and isinstance(event.event, str)
    else:
        is_named = isinstance(kind, str) and kind in DEFAULT_EVENTS
    return not is_named or not (isinstance(event.user_id, str) or isinstance(event.anonymous_id, str))


def _whole(
    event: Event | msgspec.Raw | Failed, raw: msgspec.Raw, unkept: Collection[str]
) -> Event | msgspec.Raw | Failed:
    if isinstance(event, Failed):
        return Failed(event.error, _without(raw, unkept))
    if not isinstance(event, Event) or not is_incomplete(event):
        return event
    fields = msgspec.structs.asdict(event)
    if len(bytes(raw)) > MAX_LINE_BYTES:
        # Rejected for its size, whatever its fields; all of them a second time could be too much for a request.
        fields = {"properties": event.properties}
    return _Incomplete(**fields, source=_without(raw, unkept))


def _without(raw: msgspec.Raw, names: Collection[str]) -> msgspec.Raw:
    members = members_of(raw) if names else {}
    if members.keys().isdisjoint(names):
        return raw
    return msgspec.Raw(msgspec.json.encode({name: value for name, value in members.items() if name not in names}))
