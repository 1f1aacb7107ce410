"""Internal traffic: events of the team itself, by the section `internal_traffic` of `radar.yaml`. They are kept and flagged.

The rules become a condition of `sql/events.sql`; `InternalTraffic.marks` is the same for one event.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from radar_assets.lakehouse.sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

_TRUNCATED_BITS = {4: 24, 6: 48}
"""What the collector keeps of addresses, unless the settings say otherwise."""
_FLAG = r"&(?:{})(?:=(?:1|true|yes)?)?&"
"""Matches a query between two ampersands."""
ADDRESSES_KEPT = 10_000
"""Addresses that are remembered with the rules that have them, because parsing them takes longer than reading the rest of an event."""
_HOST = re.compile(r"(?:\*\.)?[^\s/*?#@:]+|\[[0-9a-f:.]+\]")


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f'"{text:.80}" is not an address or network; write it as 192.0.2.7 or 192.0.2.0/24') from None


def _host(text: str) -> str:
    host = text.lower().rstrip(".")
    if not _HOST.fullmatch(host):
        raise ValueError(f'"{text:.80}" is not a host; write it as localhost or *.staging.example.com, without port')
    return host


Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class InternalTraffic(BaseModel):
    """What marks events as internal. An event is internal if one of the addresses, hosts, users or flags is its own.

    Attributes:
        name: what the rule is about, such as `office`.
        projects: ids of the projects; all projects by default.
        addresses: IP addresses or networks of clients, such as `192.0.2.0/24`. Where addresses are kept truncated, as they are by
            default, everybody in the same /24 (IPv6: /48) is internal.
        hosts: hosts of pages, such as `localhost`; `*.staging.example.com` stands for all its subdomains.
        users: user ids.
        flags: parameters of the page's URL, such as `internal` for `?internal=1`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Text
    projects: tuple[Text, ...] = ()
    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    users: tuple[Text, ...] = ()
    flags: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")], ...] = ()

    @model_validator(mode="after")
    def _marks_something(self) -> "InternalTraffic":
        if not (self.addresses or self.hosts or self.users or self.flags):
            raise ValueError("marks nothing; add addresses, hosts, users or flags")
        return self

    def has_address(self, text: str) -> bool:
        """Whether the address is in one of the networks, or may have been before it was truncated."""
        return _are_in(self.addresses, text)

    def is_for(self, project_id: str) -> bool:
        """Whether the rule is about events of the project."""
        return not self.projects or project_id in self.projects

    def marks(self, host: str, user_id: str | None, query: str, address: str) -> bool:
        """Whether the rule marks an event of one of its projects. Texts are empty where the event has none."""
        return (
            host in self._exact_hosts
            or host.endswith(self._endings_of_hosts)
            or user_id in self.users
            or (bool(query) and self._flag is not None and self._flag.search(f"{query}&") is not None)
            or (bool(self.addresses) and self.has_address(address))
        )

    @cached_property
    def _exact_hosts(self) -> frozenset[str]:
        return frozenset(host for host in self.hosts if not host.startswith("*."))

    @cached_property
    def _endings_of_hosts(self) -> tuple[str, ...]:
        return tuple(host[1:] for host in self.hosts if host.startswith("*."))

    @cached_property
    def _flag(self) -> re.Pattern[str] | None:
        return re.compile(_flag_pattern(self.flags)) if self.flags else None

    def condition(self) -> str:
        """The rule as SQL over the columns of `events.sql`, and the relation of `internal_addresses`."""
        marks = [
            *([f"sources.host in ({_listed(sorted(self._exact_hosts))})"] if self._exact_hosts else []),
            *(f"ends_with(sources.host, {literal(ending)})" for ending in self._endings_of_hosts),
            *([f"sources.user_id in ({_listed(self.users)})"] if self.users else []),
            *([f"regexp_matches(sources.query || '&', {literal(_flag_pattern(self.flags))})"] if self.flags else []),
        ]
        if self.addresses:
            own = f"select address from internal_addresses where name = {literal(self.name)}"
            marks.append(f"sources.address in ({own})")
        of_projects = f"sources.project_id in ({_listed(self.projects)}) and " if self.projects else ""
        # Unknown columns are null, which marks nothing.
        return f"({of_projects}({' or '.join(f'coalesce({mark}, false)' for mark in marks)}))"


def internal_condition(rules: Iterable[InternalTraffic]) -> str:
    """Whether an event of `events.sql` is internal by one of the rules, as SQL."""
    return " or ".join(rule.condition() for rule in rules) or "false"


def internal_addresses(rules: Iterable[InternalTraffic], distinct: Iterable[str | None]) -> "pa.Table":
    """The relation `internal_addresses`: which addresses, of those in a window, each rule by `name` marks."""
    import pyarrow as pa

    seen = [address for address in distinct if address]
    found = [(rule.name, address) for rule in rules for address in seen if rule.has_address(address)]
    schema = pa.schema([("name", pa.string()), ("address", pa.string())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in found], schema=schema)


def _flag_pattern(flags: Sequence[str]) -> str:
    return _FLAG.format("|".join(map(re.escape, flags)))


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(map(literal, texts))


@lru_cache(ADDRESSES_KEPT)
def _are_in(networks: tuple[str, ...], text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(_is_in(address, ip_network(network)) for network in networks)


def _is_in(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    if address.version != network.version:
        return False
    kept: Any = ip_network((network.network_address, min(network.prefixlen, _TRUNCATED_BITS[network.version])), False)
    return address in network or (address == kept.network_address)
