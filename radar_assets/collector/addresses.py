"""IP addresses: as much of one as the settings allow, before anything of it reaches a disk.

In an event only members whose name says that they hold an address are looked at; in a line that is not an event, all of it.
"""

import ipaddress
import re
from functools import lru_cache
from itertools import groupby
from typing import Literal

import msgspec

Kept = Literal["truncated", "full", "none"]

_NETWORK_BITS = {4: 24, 6: 48}
_ADDRESS = (
    r"(?<![\w:])(?!:[^:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?(?<![^:]:)(?!\w)"
    r"|(?<![0-9])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])"
)
"""What may be an address of IPv6 or IPv4; bounded, so that no text takes long."""
_IN_TEXT, _IN_BYTES = re.compile(_ADDRESS, re.ASCII), re.compile(_ADDRESS.encode())

_JOINED = (
    *("client", "connecting", "customer", "device", "host", "initial", "login", "origin", "peer", "public", "real"),
    *("remote", "request", "server", "source", "user", "visitor"),
)
"""What stands before `ip` in names that are written as one word: of others it is the end, such as `zip`."""
_END = r'(?:[^a-z"\\]|\\u00[2-7][0-9a-fA-F]|\\[^u])*+"\s*:\s*'
"""From the word that decides to the value; digits and signs may follow it within the name."""


def _named(word: str, end: str = _END) -> re.Pattern[bytes]:
    return re.compile((word + end).encode())


def _behind_ip() -> str:
    """What `ip` has to follow, looked at behind it: patterns that start with letters are found several times as fast."""
    by_length = (list(words) for _, words in groupby(sorted(_JOINED, key=len), len))
    joined = ("|".join(f"{word}ip" for word in words) for words in by_length)
    return "|".join(
        [r"(?<![a-z]ip)", r"(?<=\\[bfnrt]ip)", r"(?<=\\u00[2-7][0-9a-f]ip)", *(f"(?<={words})" for words in joined)]
    )


_NAMES = (
    _named(rf"ip(?:{_behind_ip()})[sv]?"),
    _named("addr(?:s|ess|esses)?"),
    _named('forwarded[^a-z"]?(?:for)?'),
)
"""Names in lower case, up to their values."""
_CAMEL = _named(r"I[pP](?<=[a-z]..)[sSvV]?", _END.replace("a-z", "A-Za-z"))
"""`loginIp`: only the case tells where the word begins."""
_ESCAPED = re.compile(rb"\\u00[4-7]")
_LETTER = re.compile(rb"\\(?:u00([46][1-9a-fA-F]|[57][0-9aA])|.)", re.DOTALL)
_DIGIT = re.compile(rb"\\(?:u00(3[0-9aA]|2[eE]|[46][1-6])|.)", re.DOTALL)
"""An escape of what an address is written with, or one to be passed over."""
_TOKEN = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*:)?|[\[{]|([\]}])', re.DOTALL)
_WITH_TEXTS = (b'"', b"[", b"{")


def kept_address(text: object, kept: Kept) -> str | None:
    """The first address in a text as it may be kept; `None` if there is none, or if none may be kept.

    It may have a port, and of a list, as proxies write it, the first address is that of the sender. Truncated, what names a
    household is zero: the last 8 bits of IPv4, the last 80 of IPv6.
    """
    if kept == "none" or not isinstance(text, str):
        return None
    return next(filter(None, (_kept(found[0], kept) for found in _IN_TEXT.finditer(text))), None)


@lru_cache(1024)
def _kept(text: str, kept: Kept) -> str | None:
    # Some writers fill each number up to three digits, which Python takes for octal.
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
    """Valid JSON with the addresses of senders as they may be kept, however deep within; all else stays to the byte.

    A text, or a text in a list or an object, becomes the address in it where its name ends in a word for one: `ip`, `ipv4`,
    `addr`, `address` or `forwarded_for`, in any case and with any signs around it. A text without an address stays.
    """
    if kept == "full":
        return json
    lower = json.lower()
    if _ESCAPED.search(lower):
        json = _LETTER.sub(_unescaped, json)
        lower = json.lower()
    ends = {found.end() for name in _NAMES for found in name.finditer(lower)}
    ends.update(found.end() for found in _CAMEL.finditer(json))
    if not ends:
        return json
    parts, at, done = [], 0, 0
    for end in sorted(ends):
        # Some lie within the value of another.
        if end < done:
            continue
        texts, done = _texts(json, end)
        for start, stop in texts:
            parts += [json[at:start], _value(json[start:stop], kept)]
            at = stop
    return b"".join([*parts, json[at:]])


def without_any_address(text: bytes, kept: Kept) -> bytes:
    """What may be torn JSON, or anything, without a whole address in it, whatever stands around that."""
    if kept == "full":
        return text
    if rb"\u00" in text:
        text = _DIGIT.sub(_unescaped, text)
    return _IN_BYTES.sub(lambda found: _replaced(found[0], kept), text)


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else found[0]


def _texts(json: bytes, at: int) -> tuple[list[tuple[int, int]], int]:
    """Where the texts of the value that starts here stand, names left out, and where it ends."""
    texts, depth, end = [], 0, at
    for found in _TOKEN.finditer(json, at) if json[at : at + 1] in _WITH_TEXTS else ():
        if found[1]:
            if not found[2]:
                texts.append(found.span(1))
        else:
            depth += -1 if found[3] else 1
        end = found.end()
        if not depth:
            break
    return texts, end


def _value(quoted: bytes, kept: Kept) -> bytes:
    try:
        text = msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeError):
        # Strings of a payload that nothing had to read yet: invalid UTF-8, or half a surrogate pair.
        return without_any_address(quoted, kept)
    return quoted if kept_address(text, "full") is None else msgspec.json.encode(kept_address(text, kept))


def _replaced(text: bytes, kept: Kept) -> bytes:
    if _kept(text.decode(), "full") is None:
        return text
    return b"" if kept == "none" else (_kept(text.decode(), kept) or "").encode()
