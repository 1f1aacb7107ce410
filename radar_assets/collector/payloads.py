"""Payloads as sent: JSON that stays unchanged unless a door adds members, and values that protocols write as text.

The meaning of members belongs to the doors.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from radar_assets.collector.bodies import MAX_PARTS, TooLargeError
from radar_assets.events.contract import MAX_PAYLOAD_BYTES

Payload = msgspec.Raw | msgspec.UnsetType

_Exact = TypeVar("_Exact")
_Loose = TypeVar("_Loose")

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_NUMBER = msgspec.json.Decoder(int | float)
_MAX_SHARED = 64
"""Maximum characters of a time that all events of a batch get."""


def with_members(payload: Payload, members: Mapping[str, Any], without: Collection[str] = ()) -> Any:
    """A payload with members added, unless they are empty or the payload has them.

    A payload that is not an object stays as it is, and the contract rejects it.

    Args:
        without: members of the payload to remove.
    """
    added = {name: value for name, value in members.items() if value is not None and value is not msgspec.UNSET}
    if payload is msgspec.UNSET:
        return added or None
    if not added and not without:
        return payload
    return over(payload, added, without)


def over(payload: msgspec.Raw, members: Mapping[str, Any], without: Collection[str] = ()) -> Any:
    """A payload with defaults for members that it lacks; see `with_members`."""
    try:
        given = _MEMBERS.decode(payload) or {}
    except (msgspec.ValidationError, RecursionError):
        return payload
    if without:
        given = {name: value for name, value in given.items() if name not in without}
    return {**members, **given}


def members_of(payload: Payload) -> dict[str, msgspec.Raw]:
    """The members of a payload; none if it is not an object."""
    return object_of(payload) or {}


def object_of(payload: Payload) -> dict[str, msgspec.Raw] | None:
    """The members of a payload, none if it is absent or null; `None` if it is not an object."""
    try:
        return {} if payload is msgspec.UNSET else _MEMBERS.decode(payload) or {}
    except (TypeError, msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def is_object(payload: Payload) -> bool:
    """Whether a payload is an object or absent, by its first byte."""
    return payload is msgspec.UNSET or memoryview(payload)[:1] == b"{"


def shared_time(value: Any) -> Any:
    """A time that all events of a batch share; `None` if it is too long or of another type."""
    return value if isinstance(value, str | int | float) and len(str(value)) <= _MAX_SHARED else None


def decode_either(
    exact: msgspec.json.Decoder[_Exact], loose: msgspec.json.Decoder[_Loose], body: bytes
) -> _Exact | _Loose:
    """Decode a body, with the second decoder if the first one doesn't accept it."""
    try:
        return exact.decode(body)
    except (msgspec.ValidationError, RecursionError):
        return loose.decode(body)


def check_shared(members: Mapping[str, msgspec.Raw], events: int) -> None:
    """Check members that all events of a batch get, since the key has not been checked yet.

    Raises:
        TooLargeError: the members are too large, or there are too many for so many events.
    """
    if sum(len(name) + len(memoryview(value)) for name, value in members.items()) > MAX_PAYLOAD_BYTES:
        raise TooLargeError(f"the batch's context and unknown members have more than {MAX_PAYLOAD_BYTES} bytes")
    if len(members) * events > MAX_PARTS:
        raise TooLargeError(f"the batch's context and unknown members would give its events over {MAX_PARTS} values")


def rfc3339(milliseconds: Any) -> Any:
    """Milliseconds since 1970 as RFC 3339; other values stay as they are."""
    try:
        return datetime.fromtimestamp(float(milliseconds) / 1000, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return milliseconds


def number(text: Any) -> Any:
    """The number in a text; other values stay as they are."""
    try:
        return _NUMBER.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        return text


def size(text: Any) -> dict[str, int] | None:
    """Width and height in pixels of a screen such as `1920x1080`."""
    width, _, height = text.partition("x") if isinstance(text, str) else ("", "", "")
    if not (width.isdecimal() and height.isdecimal() and len(text) < 20):
        return None
    return {"width": int(width), "height": int(height)}
