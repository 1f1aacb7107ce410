"""Web origins: scheme, host and port, parsed and normalised as browsers send them. What an origin may do is decided elsewhere."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)


class Origin(NamedTuple):
    """A web origin. The host of IPv6 has no brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def parse_origin(text: str) -> Origin | None:
    """An origin from its text; `None` for `null` and anything else."""
    match = _ORIGIN.fullmatch(text.lower())
    if not match:
        return None
    scheme, host, digits = match.groups()
    port = int(digits) if digits else DEFAULT_PORTS[scheme]
    if not 0 < port < 2**16:
        return None
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return Origin(scheme, host, port)


def origin_of_url(url: str) -> Origin | None:
    """The origin of a URL; `None` if it is not an http URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parse_origin(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
