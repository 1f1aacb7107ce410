"""Reads lines as JSON, strictly: only what all parsers read alike. `sql/raw_events.sql` has the same rules.

What the members mean belongs to `contract.py`.
"""

import json
import re
from math import isinf
from typing import Any, NoReturn

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class UnreadableLineError(ValueError):
    """A line can't be read: the name of the reason, and the details."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Members(dict[str, Any]):
    """A JSON object that records whether it had duplicate keys. The last value of a key counts."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.has_duplicates = len(self) < len(pairs)


def read_object(line: bytes, max_bytes: int, max_depth: int) -> Members:
    """The JSON object on a line.

    Args:
        max_depth: brackets that may be open at once.

    Raises:
        UnreadableLineError: the line is too long or too deep, not a JSON object, or has a number that is too large.
    """
    text = _decode(line, max_bytes, max_depth)
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
            text, object_pairs_hook=Members, parse_float=number, parse_int=whole_number, parse_constant=_no_constant
        )
    except ValueError as error:
        raise UnreadableLineError("not_json", f"line: {error}") from error
    if _has_lone_surrogate(text):
        raise UnreadableLineError("not_json", "line: an unpaired surrogate is escaped")
    if not isinstance(document, Members):
        raise UnreadableLineError("not_an_object", f"line: {text[:100]}")
    if out_of_range:
        raise UnreadableLineError("number_out_of_range", f"line: {out_of_range[0][:100]}")
    return document


def size_bytes(value: Any) -> int:
    """Bytes of a value as JSON in UTF-8 without spaces, in which every number counts as one, however it was written."""
    return len(json.dumps(_without_numbers(value), ensure_ascii=False, separators=(",", ":")).encode())


def _without_numbers(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_numbers(inner) for name, inner in value.items()}
        case list():
            return [_without_numbers(inner) for inner in value]
        case int() | float() if not isinstance(value, bool):
            return 0
    return value


def _decode(line: bytes, max_bytes: int, max_depth: int) -> str:
    if len(line) > max_bytes:
        raise UnreadableLineError("line_too_long", f"line: {len(line)} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise UnreadableLineError("not_utf8", f"line: {error.reason} at byte {error.start}") from error
    # Checked before any recursive parser reads the line.
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        if depth > max_depth:
            raise UnreadableLineError("too_deep", f"line: over {max_depth} brackets are open")
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def _has_lone_surrogate(text: str) -> bool:
    """Whether JSON has an unpaired `\\ud800` to `\\udfff`, which Python's parser accepts."""
    escapes = re.sub(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", "", text.replace(r"\\", ""))
    return re.search(r"\\u[dD][89a-fA-F]", escapes) is not None
