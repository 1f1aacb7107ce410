"""IP addresses: as much of one as the settings let be kept, before anything of it reaches a disk."""

import ipaddress
import re
from functools import lru_cache
from typing import Any, Literal

import msgspec

Kept = Literal["truncated", "full", "none"]

_NETWORK_BITS = {4: 24, 6: 48}
_MOST_TEXT = 500
"""How much of a text is looked at for an address."""
_SUSPECT = re.compile(rb'ip(?:_address|Address)?"')
"""Found four times as fast where there is none, since all that it may find begins with the same letters."""
_MEMBER = re.compile(
    rb'(?<!\\)("(?:ip|\$ip|client_ip|ip_address|ipAddress|request_ip)"\s*:\s*)("[^"\\]*+(?:\\.[^"\\]*+)*+")'
)
"""A text under a name that senders give to the address of a visitor. Where a quote is escaped, it begins no name."""


def kept_address(text: object, kept: Kept) -> str | None:
    """An address as it may be kept; `None` if it is none, or if none may be.

    It may have a port, and of a list, as proxies write it, the first address is that of the sender. Truncated, what names a
    household is zero: the last 8 bits of IPv4, the last 80 of IPv6.
    """
    if kept == "none" or not isinstance(text, str):
        return None
    return next(filter(None, (_kept(part, kept) for part in text[:_MOST_TEXT].split(","))), None)


@lru_cache(1024)
def _kept(text: str, kept: Kept) -> str | None:
    try:
        address = ipaddress.ip_address(_host(text.strip()).partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if kept == "full":
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS[address.version]), strict=False).network_address)


def _host(text: str) -> str:
    """An address without the brackets and the port that it may have."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, port = text.partition(":")
    return text if ":" in port else host


def names_address(lines: bytes) -> bool:
    """Whether JSON may hold an address that a sender gave."""
    return _SUSPECT.search(lines) is not None and _MEMBER.search(lines) is not None


def without_addresses(payload: Any, kept: Kept) -> Any:
    """The properties or context of an event, with the visitor's address, however deep within, as it may be kept.

    A member of that name that is no address is the sender's own and stays.
    """
    text = bytes(payload) if isinstance(payload, msgspec.Raw) else msgspec.json.encode(payload)
    if not names_address(text):
        return payload
    return msgspec.Raw(_MEMBER.sub(lambda found: found[1] + _value(found[2], kept), text))


def _value(quoted: bytes, kept: Kept) -> bytes:
    try:
        text = msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return quoted
    return quoted if kept_address(text, "full") is None else msgspec.json.encode(kept_address(text, kept))
