"""IP addresses: as much of one as the settings let be kept, before anything of it reaches a disk."""

import ipaddress
import re
from functools import lru_cache
from typing import Any, Literal

import msgspec

Kept = Literal["truncated", "full", "none"]

_NETWORK_BITS = {4: 24, 6: 48}
_NAMES = ("ip", "$ip", "ip_address", "ipAddress", "request_ip")
"""What senders call the address of a visitor in their payloads."""
_SUSPECT = re.compile(rb'ip(?:_address|Address)?"')
"""Found four times as fast where there is none, since all that it may find begins with the same letters."""
_MEMBER = re.compile(rb'"(?:ip|\$ip|ip_address|ipAddress|request_ip)"\s*:')
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def kept_address(text: object, kept: Kept) -> str | None:
    """An address as it may be kept; `None` if it is none, or if none may be.

    Truncated, what names a household is zero: the last 8 bits of IPv4, the last 80 of IPv6.
    """
    if kept == "none" or not isinstance(text, str):
        return None
    return _kept(text, kept)


@lru_cache(1024)
def _kept(text: str, kept: Kept) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if kept == "full":
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS[address.version]), strict=False).network_address)


def names_address(lines: bytes) -> bool:
    """Whether JSON may hold an address that a sender gave."""
    return _SUSPECT.search(lines) is not None and _MEMBER.search(lines) is not None


def without_addresses(payload: Any, kept: Kept) -> Any:
    """The properties or context of an event, with the visitor's address as it may be kept.

    A member of that name that is no address is the sender's own and stays.
    """
    if isinstance(payload, msgspec.Raw):
        if not names_address(bytes(payload)):
            return payload
        try:
            members: dict[str, Any] = dict(_MEMBERS.decode(payload))
        except msgspec.DecodeError:
            return payload
    elif isinstance(payload, dict):
        members = dict(payload)
    else:
        return payload
    for name in _NAMES:
        if name in members and (address := _text(members[name])) is not None and kept_address(address, "full"):
            members[name] = kept_address(address, kept)
    return members


def _text(value: Any) -> str | None:
    if isinstance(value, msgspec.Raw):
        try:
            return msgspec.json.decode(value, type=str)
        except msgspec.DecodeError:
            return None
    return value if isinstance(value, str) else None
