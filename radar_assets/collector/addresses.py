"""Truncates or removes IP addresses in lines before they are stored, as the settings say.

In an event, only members that are named like an address are cleaned (`address_names.py`); in other lines, everything is.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from radar_assets.collector.address_names import HINTS, INNER, Names, names_address

Kept = Literal["truncated", "full", "none"]

_NETWORK_BITS = {4: 24, 6: 48}
_ADDRESS = (
    r"(?<![\w:])(?!:[^:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?(?<![^:]:)(?!\w)"
    r"|(?<![0-9])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])"
)
"""A candidate for an IPv6 or IPv4 address; bounded, so that no text takes long."""
_IN_TEXT, _IN_BYTES = re.compile(_ADDRESS, re.ASCII), re.compile(_ADDRESS.encode())

_ESCAPED = re.compile(rb"\\u00[4-7]")
_LETTER = re.compile(rb"\\(?:u00([46][1-9a-fA-F]|[57][0-9aA])|.)", re.DOTALL)
_DIGIT = re.compile(rb"\\(?:u00(3[0-9aA]|2[eE]|[46][1-6])|.)", re.DOTALL)
"""An escaped character of an address, or another escape, which is skipped."""
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"?)(\s*:)?|[\[{]|([\]}])', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_REST = rb'(?:[^"\\]|\\[^"\\]){0,100}+(?:\\")?(\\*)"'
"""From a hint to the end of its name. With backslashes before the quote, the name belongs to JSON in a text."""
_NAMES = {name.encode(): re.compile(hint + _REST + rb"\s*:\s*") for name, hint in HINTS.items()}
_NAMES_OF_VALUES = {name.encode(): re.compile(hint + _REST + rb"(?!\s*:)") for name, hint in HINTS.items()}
_NAME = re.compile(rb'"(?:name|key|field|header|property|attribute|label|param|parameter|k|id)"', re.IGNORECASE)
_NAME_BEFORE = re.compile(_NAME.pattern + rb"\s*:\s*\Z", re.IGNORECASE)
_VALUE = re.compile(rb'"(?:values?|val|v)"', re.IGNORECASE)
"""The members of `{"name": "ip", "value": "203.0.113.9"}`."""
_LONGEST_NAME_BEFORE = 200
_LONGEST_ESCAPE = 100
"""Maximum number of consecutive backslashes that are considered."""
_NOBODYS = frozenset({"::", "::1"})
"""Addresses that identify no sender and also have other meanings."""
_Span = tuple[int, int]


def kept_address(text: object, kept: Kept) -> str | None:
    """The first address in a text, reduced to what may be kept; `None` without an address, or if nothing may be kept.

    The address may have a port. In a list, as proxies write it, the first address is that of the sender. Truncation sets the part
    that identifies a household to zero: the last 8 bits of IPv4, the last 80 of IPv6.
    """
    if kept == "none" or not isinstance(text, str):
        return None
    return next(filter(None, (_kept(found[0], kept) for found in _IN_TEXT.finditer(text))), None)


@lru_cache(1024)
def _kept(text: str, kept: Kept) -> str | None:
    # Some writers pad each number to three digits, which Python refuses as possibly octal.
    written = text if ":" in text else ".".join(str(int(number)) for number in text.split("."))
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if kept == "full":
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS[address.version]), strict=False).network_address)


def without_addresses(json: bytes, kept: Kept) -> bytes:
    """Clean addresses in valid JSON, one value per line. Everything else stays the same to the byte.

    This covers the texts of members named like an address, at any depth and in lists, and all texts in objects named like an IP.
    The name may also be a value itself, beside the value that it names, and all of it may be JSON in a text.
    """
    if kept == "full":
        return json
    lower = json.lower()
    if _ESCAPED.search(lower):
        json = _LETTER.sub(_unescaped, json)
        lower = json.lower()
    parts, at = [], 0
    for (start, stop), is_json in sorted(_spans(json, lower).items()):
        clean = _clean_json_text if is_json else _clean_text
        parts += [json[at:start], clean(json[start:stop], kept)]
        at = stop
    return b"".join([*parts, json[at:]])


def without_any_address(text: bytes, kept: Kept) -> bytes:
    """Clean all addresses in any text, such as torn JSON, whatever is around them."""
    if kept == "full":
        return text
    if rb"\u00" in text:
        text = _DIGIT.sub(_unescaped, text)
    return _IN_BYTES.sub(lambda found: _replaced(found[0].decode(), kept).encode(), text)


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else found[0]


def _spans(json: bytes, lower: bytes) -> dict[_Span, bool]:
    """Positions of the texts that may hold addresses, and whether only JSON in them is to be cleaned."""
    # Finding words takes a fraction of the time that their patterns take to search.
    places = {word: places for word in _NAMES if (places := _places(lower, word))}
    spans = dict.fromkeys(_named_by_values(json, lower, places), False) if b'"v' in lower else dict[_Span, bool]()
    done = done_text = 0
    for hit in sorted(_hits(_NAMES, json, lower, places), key=re.Match.end):
        if hit.end() < done or hit.start() < done_text:
            continue
        start = _opening_quote(json, hit.start())
        if start < 0:
            continue
        if hit[1]:
            text = _STRING.match(json, start)
            done_text = text.end() if text else 0
            spans.setdefault((start, done_text), True)
            continue
        names = names_address(json[start : hit.end(1) + 1])
        if names is not Names.NOTHING:
            texts, stop = _texts(json, hit.end(), names)
            spans.update(dict.fromkeys(texts, False))
            done = stop if names is Names.IP else done
    return spans


def _places(text: bytes, word: bytes) -> list[int]:
    places, at = [], text.find(word)
    while at >= 0:
        places.append(at)
        at = text.find(word, at + 1)
    return places


def _hits(
    patterns: Mapping[bytes, re.Pattern[bytes]], json: bytes, lower: bytes, places: Mapping[bytes, list[int]]
) -> Iterator[re.Match[bytes]]:
    """The matches of patterns, each of which begins with its word, at the places of the words."""
    for word, starts in places.items():
        # Camel case shows where the word IP begins and ends; the other hints are long enough.
        text, match, end = json if word == b"ip" else lower, patterns[word].match, 0
        for at in starts:
            if at >= end and (hit := match(text, at)):
                end = hit.end()
                yield hit


def _opening_quote(json: bytes, at: int) -> int:
    """Start of the string around a position."""
    start = json.rfind(b'"', 0, at)
    while start > 0 and json[start - 1] == 0x5C:
        before = json[max(0, start - _LONGEST_ESCAPE) : start]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            break
        start = json.rfind(b'"', 0, start)
    return start


def _named_by_values(json: bytes, lower: bytes, places: Mapping[bytes, list[int]]) -> Iterator[_Span]:
    """Positions of the values of objects in which one value names another one as an address."""
    done = 0
    for hit in sorted(hit.start() for hit in _hits(_NAMES_OF_VALUES, json, lower, places)):
        if hit >= done and _NAME_BEFORE.search(json, max(0, hit - _LONGEST_NAME_BEFORE), _opening_quote(json, hit)):
            done = json.find(b"\n", hit) + 1 or len(json)
            yield from _named_in_line(json, json.rfind(b"\n", 0, hit) + 1, done)


def _named_in_line(json: bytes, at: int, stop: int) -> Iterator[_Span]:
    frames = [_Frame()]
    for found in _TOKEN.finditer(json, at, stop):
        frame = frames[-1]
        if found[2]:
            frame.name = found[1]
        elif found[1]:
            if _VALUE.fullmatch(frame.name):
                frame.values.append(found.span(1))
            frame.texts.append(found.span(1))
            if _NAME.fullmatch(frame.name) and names_address(found[1]) is not Names.NOTHING:
                frame.names_address = True
        elif not found[3]:
            frames.append(_Frame())
        elif len(frames) > 1:
            inner = frames.pop()
            if inner.names_address:
                yield from inner.values
            if _VALUE.fullmatch(frames[-1].name):
                frames[-1].values += inner.texts


class _Frame:
    """An open object or list.

    Attributes:
        name: the member that is being read.
        values: texts that a name beside them may describe, including those in lists and objects.
        names_address: whether that name is the name of an address.
    """

    def __init__(self) -> None:
        self.name = b""
        self.texts: list[_Span] = []
        self.values: list[_Span] = []
        self.names_address = False


def _texts(json: bytes, at: int, names: Names) -> tuple[list[_Span], int]:
    """Positions of the texts of the value that starts here, and its end.

    In a value that may be a postal address, texts of an object count only if their own name says so, and everything after an object
    is skipped, because its members have names of their own.
    """
    if text := _STRING.match(json, at):
        return [text.span()], text.end()
    texts, depth, end, is_named, is_all = [], 0, at, True, names is Names.IP
    for found in _TOKEN.finditer(json, at) if json[at : at + 1] in (b"[", b"{") else ():
        if found[1]:
            if found[2]:
                is_named = is_all or json[found.start(1) + 1 : found.end(1) - 1].lower() in INNER
            elif is_named:
                texts.append(found.span(1))
        else:
            depth += -1 if found[3] else 1
            if not is_all and found.start() > at and found[0] == b"{":
                break
        end = found.end()
        if depth <= 0:
            break
    return texts, end


def _clean_text(quoted: bytes, kept: Kept) -> bytes:
    try:
        text = msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeError):
        # Nothing has decoded this string yet, so it may have invalid UTF-8, half a surrogate pair, or a torn end.
        return without_any_address(quoted, kept)
    clean = _IN_TEXT.sub(lambda found: _replaced(found[0], kept), text)
    if clean == text:
        return quoted
    return msgspec.json.encode(clean) if clean.strip(" ,;") else b"null"


def _clean_json_text(quoted: bytes, kept: Kept) -> bytes:
    try:
        text = msgspec.json.decode(quoted, type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        return without_any_address(quoted, kept)
    clean = without_addresses(text, kept)
    return quoted if clean == text else msgspec.json.encode(clean.decode())


def _replaced(text: str, kept: Kept) -> str:
    if text in _NOBODYS or _kept(text, "full") is None:
        return text
    return "" if kept == "none" else _kept(text, kept) or ""
