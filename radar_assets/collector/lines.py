"""From events to lines of the landing zone: the fields that the collector adds, and the encoding.

Project, protocol and received time are set by the collector; senders can't override them.
"""

import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from radar_assets.collector.addresses import Kept, without_addresses, without_any_address
from radar_assets.collector.bodies import MAX_INFLATED_BYTES, TooLargeError
from radar_assets.collector.door import Event, Failed

_ENCODER = msgspec.json.Encoder()
_AT_ONCE = 100
"""Events that are encoded together before their size is checked."""


def encode_lines(
    events: Sequence[Event | msgspec.Raw | Failed],
    project_id: str,
    protocol: str,
    received_at: datetime,
    kept: Kept,
    limit_bytes: int = MAX_INFLATED_BYTES,
    on_failure: Callable[[Exception], object] = lambda _: None,
) -> bytes:
    """The lines of one request, each with its line feed. If it has several events, `sequence` is their position in it from 0.

    Args:
        received_at: naive, UTC.
        kept: how much of IP addresses is kept.
        limit_bytes: a small body can make large lines if its events share a value.
        on_failure: called with the error of each event that could not be made or encoded.

    Raises:
        TooLargeError: the lines have more than `limit_bytes`; not many more than those were encoded.
    """
    received = received_at.isoformat() + "Z"
    members = {"project_id": project_id, "protocol": protocol, "received_at": received}
    start = _ENCODER.encode(members)[:-1] + b","
    parts, size = [], 0
    for first in range(0, len(events), _AT_ONCE):
        block = events[first : first + _AT_ONCE]
        sequences = [b'"sequence":%d,' % position for position in range(first, first + len(block))]
        if len(events) == 1:
            sequences = [b""]
        part = _lines_at_once(block, start, sequences, received, kept)
        if part is None:
            part = b"".join(
                _line(event, start + sequence, kept, on_failure)
                for event, sequence in zip(block, sequences, strict=True)
            )
        size += len(part)
        if size > limit_bytes:
            raise TooLargeError(f"the lines of the request have more than {limit_bytes} bytes")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lines_at_once(
    events: Sequence[Any], start: bytes, sequences: Sequence[bytes], received: str, kept: Kept
) -> bytes | None:
    """The lines of ordinary events; `None` if each has to be written by itself."""
    is_ordinary = True
    for event in events:
        if isinstance(event, Event):
            if event.event_id is None:
                event.event_id = _uuid7()
            if event.timestamp is None:
                event.timestamp = received
        else:
            is_ordinary = False
    if not is_ordinary:
        return None
    try:
        separate = _ENCODER.encode_lines(events)[:-1].split(b"\n")
    except Exception:
        return None
    # A payload may span several lines.
    if len(separate) != len(events):
        return None
    lines = [start + sequence + line[1:] for sequence, line in zip(sequences, separate, strict=True)]
    return without_addresses(b"\n".join(lines) + b"\n", kept)


def _line(
    event: Event | msgspec.Raw | Failed, start: bytes, kept: Kept, on_failure: Callable[[Exception], object]
) -> bytes:
    if isinstance(event, Event):
        line = start + _encoded(event, kept, on_failure)[1:].replace(b"\n", b" ") + b"\n"
        return without_addresses(line, kept)
    if isinstance(event, Failed):
        on_failure(event.error)
        event = event.raw
    text = without_any_address(bytes(event).strip().replace(b"\n", b" "), kept)
    # An object would land as an event of the project that it names, and an empty text would not be a line.
    if text.startswith(b"{") or not text:
        text = _ENCODER.encode(text.decode(errors="replace"))
    return text + b"\n"


def _encoded(event: Event, kept: Kept, on_failure: Callable[[Exception], object]) -> bytes:
    try:
        return _ENCODER.encode(event)
    except Exception as error:
        on_failure(error)
    fields = msgspec.structs.asdict(event).items()
    return _ENCODER.encode({name: _value(value, kept) for name, value in fields if value not in (None, msgspec.UNSET)})


def _value(value: Any, kept: Kept) -> Any:
    """A value as JSON, or its `ascii()` if JSON has no such type."""
    try:
        return msgspec.Raw(_ENCODER.encode(value))
    except Exception:
        return without_any_address(ascii(value).encode(), kept).decode()


def _uuid7() -> str:
    """A UUID of version 7 (RFC 9562), which sorts by time."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    text = f"{number & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
