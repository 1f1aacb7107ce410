"""From events to lines of the landing zone: what the collector adds to each, and how it is written.

Project, protocol and time of receipt are the collector's word; nothing that a sender writes can stand in for them.
"""

import os
import time
from collections.abc import Sequence
from datetime import datetime

import msgspec

from radar_assets.collector.addresses import Kept, names_address, without_addresses
from radar_assets.collector.bodies import MAX_INFLATED_BYTES, TooLargeError
from radar_assets.collector.door import Event

_ENCODER = msgspec.json.Encoder()
_AT_ONCE = 100
"""Events that are encoded together: what they share is written so many times before anybody looks at what it comes to."""


def encode_lines(
    events: Sequence[Event | msgspec.Raw],
    project_id: str,
    protocol: str,
    received_at: datetime,
    kept: Kept,
    limit_bytes: int = MAX_INFLATED_BYTES,
) -> bytes:
    """The lines of one request, each with its line feed.

    Args:
        received_at: naive, UTC.
        kept: what may be kept of IP addresses in payloads.
        limit_bytes: events of a batch may share a value, which makes much of a small body.

    Raises:
        TooLargeError: the lines have more than `limit_bytes`; not many more than those were encoded.
    """
    received = received_at.isoformat() + "Z"
    members = {"project_id": project_id, "protocol": protocol, "received_at": received}
    start = _ENCODER.encode(members)[:-1] + b","
    parts, size = [], 0
    for first in range(0, len(events), _AT_ONCE):
        part = _lines(events[first : first + _AT_ONCE], start, received, kept)
        size += len(part)
        if size > limit_bytes:
            raise TooLargeError(f"the lines of the request have more than {limit_bytes} bytes")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lines(events: Sequence[Event | msgspec.Raw], start: bytes, received: str, kept: Kept) -> bytes:
    for event in events:
        if isinstance(event, Event):
            if event.event_id is None:
                event.event_id = _uuid7()
            if event.timestamp is None:
                event.timestamp = received
    lines = _ENCODER.encode_lines(events)
    if kept != "full" and names_address(lines):
        events = _without_addresses(events, kept)
        lines = _ENCODER.encode_lines(events)
    # In one go, unless a payload is laid out over several lines or stands where an event should.
    separate = lines[:-1].split(b"\n")
    if len(separate) == len(events) and all(isinstance(event, Event) for event in events):
        return start + (b"\n" + start).join([line[1:] for line in separate]) + b"\n"
    return b"".join(_line(event, start) for event in events)


def _without_addresses(events: Sequence[Event | msgspec.Raw], kept: Kept) -> Sequence[Event | msgspec.Raw]:
    """Copies of events, which do not outlive their lines; a context that they share is looked at once."""
    contexts = {id(event.context): event.context for event in events if isinstance(event, Event)}
    cleaned = {key: without_addresses(context, kept) for key, context in contexts.items()}
    return [
        msgspec.structs.replace(
            event, properties=without_addresses(event.properties, kept), context=cleaned[id(event.context)]
        )
        if isinstance(event, Event)
        else event
        for event in events
    ]


def _line(event: Event | msgspec.Raw, start: bytes) -> bytes:
    if isinstance(event, Event):
        return start + _ENCODER.encode(event)[1:].replace(b"\n", b" ") + b"\n"
    text = bytes(event).strip().replace(b"\n", b" ")
    # An object would land as an event of the project that it names, and nothing at all as no line.
    if text.startswith(b"{") or not text:
        text = _ENCODER.encode(text.decode(errors="replace"))
    return text + b"\n"


def _uuid7() -> str:
    """A UUID of version 7 (RFC 9562): ids of one time lie together."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    text = f"{number & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
