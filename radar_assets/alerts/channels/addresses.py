"""Which hosts may be sent to: those of the internet, and those inside that an operator has allowed.

What can be told without DNS is told when a channel is saved (`check_host`); the addresses that its name then has are looked at
when it is connected to (`resolve`), and exactly those are connected to. The ranges are those of microsoft-antissrf.
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from radar_assets.alerts.channels.failures import PassingError, PermanentError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_INSIDE = ("localhost", "local", "internal", "intranet", "localdomain", "lan", "home", "corp", "home.arpa", "svc")
"""Names under which no public host is."""


class AllowedHosts:
    """The allow-list of an operator.

    Args:
        entries: names of hosts, addresses and networks.
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
    """Refuse a host that is certainly not on the internet, or written in a way that hides which one it is.

    Args:
        host: as in a URL, with the brackets of an IPv6 address.
        plain: whether it is spoken to without TLS, which only allowed hosts are.

    Raises:
        ValueError: it is refused.
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
    # Which address such a name has is seen when something is sent; an operator who allows networks may mean it.
    if (inside or plain) and not allowed.networks:
        raise ValueError(_refusal(host, plain and not inside))


def resolve(host: str, port: int, allowed: AllowedHosts, timeout_s: float, *, plain: bool = False) -> list[Any]:
    """What to connect to for a host: the answers of getaddrinfo, all of them looked at.

    Raises:
        PassingError: its name has no address now.
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
    """Whether an address is one of the internet."""
    number = int(address) if address.version == 6 else int(ipaddress.IPv6Address(f"::ffff:{address}"))
    return not any(first <= number <= last for first, last in _not_public())


@cache
def _not_public() -> tuple[tuple[int, int], ...]:
    """Ranges of IPv6 and of IPv4, as it is mapped into IPv6."""
    from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions

    policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
    # The list names the ranges that are special today. Of IPv6, only 2000::/3 has been given out; beside it are ways of writing
    # IPv4 addresses that the list doesn't have, such as ::127.0.0.1 and ::ffff:0:127.0.0.1.
    low, mapped = ipaddress.IPv6Network("::/3"), ipaddress.IPv6Network("::ffff:0:0/96")
    policy.add_denied_addresses(["4000::/2", "8000::/1", *map(str, low.address_exclude(mapped))])
    networks = [block.get_network() for block in policy.denied_addresses]
    return tuple((int(network.network_address), int(network.broadcast_address)) for network in networks)


def _written_address(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    if host.startswith("[") and host.endswith("]"):
        try:
            return ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise ValueError(f"has the host {host!r:.80}, which is no address") from error
    name = host.rstrip(".")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", name) or len(name) > 253:
        raise ValueError(f"has the host {host!r:.80}, which is no name; write others than ASCII as xn--...")
    if not re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", name.rpartition(".")[2]):
        return None
    try:
        return ipaddress.IPv4Address(host)
    except ValueError as error:
        # Decimal, octal, hexadecimal and short forms, which resolvers take for addresses.
        raise ValueError(f"has the host {host!r:.80}; write an address as four numbers from 0 to 255") from error


def _refusal(host: str, wants_tls: bool) -> str:
    if wants_tls:
        return f"has the host {host:.80} without TLS; write https://, or name the host in RADAR_ALERT_ALLOWED_HOSTS"
    return f"has the host {host:.80}, which is not public; name it in RADAR_ALERT_ALLOWED_HOSTS to allow it"


def _looked_up(host: str, port: int, timeout_s: float) -> list[Any]:
    """Ask the resolver, which knows no time limit, in a thread that is left to itself when it takes too long."""
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
        raise PassingError(f"the name {host:.80} can't be resolved")
    return answer
