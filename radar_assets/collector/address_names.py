"""Decides by its name whether a member holds an IP address. Similar names, such as `zip` and `mac_address`, do not."""

import re
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise

import msgspec


class Names(Enum):
    """What a name says about its value."""

    NOTHING = auto()
    ADDRESS = auto()
    """It is an address of some kind."""
    IP = auto()
    """It is, or is about, an IP address."""


HINTS = {
    "ip": rb"[iI][pP](?:[aA][dD][dD][rR]|[sSvV]?(?![a-z]))",
    "addr": rb"addr",
    "forwarded": rb"forwarded",
    "xff": rb"xff",
    "host": rb"host(?:(?<=[etr].host)|(?<=[etr]host))",
}
"""Patterns, all but the first for lower case. Each name of an address matches one of them, and few other texts do."""
INNER = frozenset(
    b"v4 v6 ipv4 ipv6 value values all address addresses first last public private local remote raw".split()
)
"""Names, in lower case, of the texts in an object that is named like an address."""

_RUN = re.compile(r"[A-Za-z]+")
_WORD = re.compile(r"[A-Z]{2,}(?:[sv](?![a-z]))?(?![a-z])|[A-Z]?[a-z]+|[A-Z]+")
"""The words of snake_case, kebab-case and camelCase; `IPs` and `IPv` are one word."""
_ADDRESS = re.compile(r"(.*)addr(?:s|ess|esses)?")
_IP = re.compile(r".*ip(?:s|v)?")
_NO_IP = frozenset(
    """
    zip gzip bzip winzip unzip tip tooltip fingertip trip roundtrip strip filmstrip airstrip outstrip chip microchip
    clip paperclip skip drip flip backflip grip whip dip hip lip nip rip sip snip slip payslip cowslip quip gossip
    tulip equip turnip parsnip catnip blip pip kip vip voip philip phillip
    """.split()  # noqa: SIM905
)
"""Words that end in `ip`; those that end in `ship` are not listed."""
_OTHER_KINDS = frozenset(
    """
    mac hw hardware ethernet memory web website url email mail mailing ship shipping shipment bill billing post postal
    postcode zip street home delivery residential physical line city country state book wallet contract crypto btc eth
    bitcoin ethereum
    """.split()  # noqa: SIM905
)
"""Words for addresses other than IP addresses."""
_OF_HOSTS = frozenset({"remote", "client", "peer", "visitor", "user"})
_LONGEST = 200
"""Maximum bytes of a name; for longer ones, only the hints decide."""


def names_address(quoted: bytes) -> Names:
    """What a name, given as a JSON string, says about its value."""
    return _names_address(quoted) if len(quoted) <= _LONGEST else Names.IP


@lru_cache(4096)
def _names_address(quoted: bytes) -> Names:
    try:
        name = msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeError):
        name = quoted.decode(errors="replace")
    words = [word for run in _RUN.findall(name) for word in _words(run)]
    kinds = {_kind(word) for word in words}
    if Names.IP in kinds:
        return Names.IP
    # `emailaddress` is one word.
    prefixes = {found[1] for word in words if (found := _ADDRESS.fullmatch(word))}
    if Names.ADDRESS in kinds and _OTHER_KINDS.isdisjoint({*words, *prefixes}):
        return Names.ADDRESS
    is_host = any(word == "host" and before in _OF_HOSTS for before, word in pairwise(words))
    return Names.ADDRESS if is_host or any(f"{word}host" in words for word in _OF_HOSTS) else Names.NOTHING


def _words(run: str) -> list[str]:
    lower = run.lower()
    return [lower] if lower in ("ip", "ips") or lower in _NO_IP else [word.lower() for word in _WORD.findall(run)]


def _kind(word: str) -> Names:
    if "forwarded" in word or word == "xff":
        return Names.IP
    if address := _ADDRESS.fullmatch(word):
        return Names.IP if address[1] and _is_ip(address[1]) else Names.ADDRESS
    return (
        Names.IP if _is_ip(word) or "ipaddr" in word.replace("shipaddr", "").replace("zipaddr", "") else Names.NOTHING
    )


def _is_ip(word: str) -> bool:
    stem = word.removesuffix("s").removesuffix("v") if word.endswith(("ips", "ipv")) else word
    return _IP.fullmatch(word) is not None and stem not in _NO_IP and not stem.endswith("ship")
