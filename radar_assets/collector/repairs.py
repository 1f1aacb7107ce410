"""Repairs of JSON bodies with defects of SDKs and servers, for which a strict decoder would refuse the whole request.

One defect costs at most the event that has it. Reading and inflating bodies is in `bodies.py`.
"""

import codecs
import re
from collections.abc import Iterator

import msgspec

from radar_assets.collector.bodies import MAX_PARTS
from radar_assets.collector.door import MAX_EVENTS

_MAX_DEPTH = 100
"""More than the contract allows, so that it still rejects these events."""
_MAX_STRINGS = 4 * MAX_PARTS
"""Maximum quotes, and backslashes, of a body whose strings are repaired; that takes a second."""
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
"""Also without its end, or each quote would be tried."""
_STRINGS = re.compile(_STRING, re.DOTALL)
_CONSTANTS = re.compile(_STRING + rb"|(-?(?:NaN|Infinity))", re.DOTALL)
"""Constants that are not JSON. Strings match so that they are skipped."""
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb'|u[0-9a-fA-F]{4}|["\\/bfnrt]|(.))',
    re.DOTALL,
)
"""Escapes: pairs of surrogates, lone ones (group 1), other characters, and those that JSON doesn't have (group 2)."""
_CONTROLS = re.compile(rb"[\x00-\x1f]")
_BRACKETS = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[{]++|[\]}]++|\Z)", re.DOTALL)
"""A run of opening or closing brackets and the text before it. It also matches the end, or each byte would restart the search."""
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}]|\Z)", re.DOTALL)
_JSON = msgspec.json.Decoder()
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)


def as_utf8(body: bytes) -> bytes:
    """A body without byte order marks, and with U+FFFD in place of bytes that are not UTF-8."""
    if body.isascii():
        return body
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", errors="replace").encode()
    # Lines of files that were joined have one each. After a line feed, it can't be part of a string.
    body = body.removeprefix(codecs.BOM_UTF8).replace(b"\n" + codecs.BOM_UTF8, b"\n")
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="replace").encode()
    return body


def repair(body: bytes) -> bytes:
    """JSON with known defects repaired; only for bodies that can't be read, since it takes longer than reading them."""
    return repair_depth(repair_constants(repair_strings(body)))


def repair_strings(body: bytes) -> bytes:
    """JSON whose strings have U+FFFD in place of lone surrogates, and valid escapes.

    Browsers write a lone surrogate when a script cuts an emoji in two. Control characters get escaped. A backslash that escapes
    nothing becomes a backslash.
    """
    if 0 < body.count(b"\\") <= _MAX_STRINGS:
        body = _ESCAPES.sub(_valid_escape, body)
    if body.count(b'"') <= _MAX_STRINGS and _CONTROLS.search(body):
        body = _STRINGS.sub(lambda found: _CONTROLS.sub(lambda each: b"\\u%04x" % each[0][0], found[0]), body)
    return body


def _valid_escape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return rb"\ufffd"
    return b"\\" + found[0] if found[2] else found[0]


def repair_constants(body: bytes) -> bytes:
    """JSON with null in place of NaN and infinities, which Python's encoder writes."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _CONSTANTS.sub(lambda found: b"null" if found[1] else found[0], body)


def repair_depth(body: bytes) -> bytes:
    """JSON in which values nested too deeply are replaced by their text, since decoders would refuse the whole body."""
    if not _MAX_DEPTH < body.count(b"[") + body.count(b"{") <= MAX_PARTS:
        return body
    parts, kept_to, depth, cut = [], 0, 0, None
    for found in _BRACKETS.finditer(body):
        start, end = found.span(1)
        if body[start:end].startswith((b"[", b"{")):
            depth += end - start
            if cut is None and depth > _MAX_DEPTH:
                cut = end - (depth - _MAX_DEPTH)
        else:
            depth -= end - start
            if cut is not None and depth <= _MAX_DEPTH:
                stop = end - (_MAX_DEPTH - depth)
                parts += [body[kept_to:cut], msgspec.json.encode(body[cut:stop].decode(errors="replace"))]
                kept_to, cut = stop, None
    return b"".join([*parts, body[kept_to:]])


def set_apart(body: bytes) -> bytes:
    """A batch in which events that are not JSON are replaced by their text, which becomes a rejected line.

    A batch is an array, or an object with an array. Bodies that are JSON, and those without such an array, stay as they are.
    """
    if body.count(b"[") + body.count(b"{") > MAX_PARTS or _is(_SYNTAX, body):
        return body
    parts, kept_to = list[bytes](), 0
    for start, end in _objects(body):
        if not _is(_JSON, text := body[start:end]):
            parts += [body[kept_to:start], msgspec.json.encode(text.decode(errors="replace"))]
            kept_to = end
    return b"".join([*parts, body[kept_to:]])


def _objects(body: bytes) -> Iterator[tuple[int, int]]:
    """Where the objects in the array of a batch start and end."""
    level = 1 if body.startswith(b"[") else 2
    depth = objects = start = 0
    in_array = False
    for found in _BRACKET.finditer(body):
        at, bracket = found.start(1), found[1]
        if bracket in (b"[", b"{"):
            depth += 1
            if depth == level:
                in_array = bracket == b"["
            elif depth == level + 1:
                start = at
        else:
            depth -= 1
            if depth == level and in_array and body[start : start + 1] == b"{":
                yield start, at + 1
                objects += 1
        if depth <= 0 or objects > MAX_EVENTS:
            return


def _is(decoder: msgspec.json.Decoder, text: bytes) -> bool:
    try:
        decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True
