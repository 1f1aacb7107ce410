"""Which hosts may be sent to: public ones, and internal ones that the operator has allowed.

`check_host` refuses without DNS what can be refused when a channel is declared. `resolve` checks the addresses of a name when it is
connected to, and exactly these are connected to. The ranges are those of microsoft-antissrf.
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from radar_assets.messaging.failures import PermanentError, TemporaryError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_INSIDE = ("localhost", "local", "internal", "intranet", "localdomain", "lan", "home", "corp", "home.arpa", "svc")
"""Suffixes that no public host has."""


class AllowedHosts:
    """The operator's allow-list.

    Args:
        entries: host names, addresses and networks.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self.names: set[str] = set()
        self.networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            try:
                self.networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self.names.add(entry.lower().rstrip("."))

    def __contains__(self, host: "str | Address") -> bool:
        if isinstance(host, str):
            return host.lower().rstrip(".") in self.names
        return any(host.version == network.version and host in network for network in self.networks)


def check_host(host: str, allowed: AllowedHosts, *, plain: bool = False) -> None:
    """Refuse a host that is certainly not public, or written in a way that disguises it.

    Args:
        host: as in a URL, an IPv6 address in brackets.
        plain: without TLS, which is for allowed hosts only.

    Raises:
        ValueError: the host is refused.
    """
    if host in allowed:
        return
    address = _written_address(host)
    if address is not None:
        if address not in allowed and (plain or not is_public(address)):
            raise ValueError(_refusal(host, plain and is_public(address)))
        return
    name = host.lower().rstrip(".")
    inside = "." not in name or any(name == end or name.endswith(f".{end}") for end in _INSIDE)
    # Its addresses are checked when something is sent; an operator who allows networks may mean this host.
    if (inside or plain) and not allowed.networks:
        raise ValueError(_refusal(host, plain and not inside))


def resolve(host: str, port: int, allowed: AllowedHosts, timeout_s: float, *, plain: bool = False) -> list[Any]:
    """The addresses of a host as getaddrinfo returns them, all of them checked.

    Raises:
        TemporaryError: its name does not resolve at the moment.
        PermanentError: one of its addresses is not public and not allowed.
    """
    answers = _looked_up(host.strip("[]"), port, timeout_s)
    if host not in allowed:
        for *_, endpoint in answers:
            address = ipaddress.ip_address(endpoint[0])
            if address not in allowed and (plain or not is_public(address)):
                raise PermanentError(_refusal(host, plain and is_public(address)))
    return answers


def is_public(address: Address) -> bool:
    """Whether an address is public."""
    number = int(address) if address.version == 6 else int(ipaddress.IPv6Address(f"::ffff:{address}"))
    return not any(first <= number <= last for first, last in _not_public())


@cache
def _not_public() -> tuple[tuple[int, int], ...]:
    """Ranges that are not public, of IPv6 and of IPv4 mapped into IPv6."""
    from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions

    policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
    # The policy lists the special ranges of today. Of IPv6, only 2000::/3 is allocated; other ranges contain notations of IPv4
    # addresses that the policy misses, such as ::127.0.0.1 and ::ffff:0:127.0.0.1.
    low, mapped = ipaddress.IPv6Network("::/3"), ipaddress.IPv6Network("::ffff:0:0/96")
    policy.add_denied_addresses(["4000::/2", "8000::/1", *map(str, low.address_exclude(mapped))])
    networks = [block.get_network() for block in policy.denied_addresses]
    return tuple((int(network.network_address), int(network.broadcast_address)) for network in networks)


def _written_address(host: str) -> Address | None:
    """The host as an address; None for a name."""
    if host.startswith("[") and host.endswith("]"):
        try:
            return ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise ValueError(f"has the invalid host {host!r:.80}") from error
    name = host.rstrip(".")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", name) or len(name) > 253:
        raise ValueError(f"has the invalid host {host!r:.80}; write non-ASCII names as xn--...")
    if not re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", name.rpartition(".")[2]):
        return None
    try:
        return ipaddress.IPv4Address(host)
    except ValueError as error:
        # Decimal, octal, hexadecimal and short forms, which resolvers accept as addresses.
        raise ValueError(f"has the host {host!r:.80}; write an address as four numbers from 0 to 255") from error


def _refusal(host: str, wants_tls: bool) -> str:
    if wants_tls:
        return f"has the host {host:.80} without TLS; use https://, or add the host to RADAR_ALLOWED_HOSTS"
    return f"has the host {host:.80}, which is not public; add it to RADAR_ALLOWED_HOSTS to allow it"


def _looked_up(host: str, port: int, timeout_s: float) -> list[Any]:
    """Ask the resolver, which has no timeout, in a thread that is abandoned if it takes too long."""
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=look_up, daemon=True, name="radar-resolve").start()
    try:
        answer = found.get(timeout=max(0.001, timeout_s))
    except queue.Empty:
        answer = []
    if isinstance(answer, OSError) or not answer:
        raise TemporaryError(f"the name {host:.80} can't be resolved")
    return answer
