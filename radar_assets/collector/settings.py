"""The settings of the collector."""

from typing import Literal

from pydantic import Field

from radar_assets.access.settings import LimitSettings
from radar_assets.home import HomeSettings


class CollectorSettings(LimitSettings, HomeSettings):
    """Collector: how it receives requests, and what it stores of their senders."""

    collector_delay_ms: float = Field(
        default=0, ge=0, le=20, description="How many milliseconds requests wait so that several share one disk sync."
    )
    body_timeout_s: float = Field(
        default=30, gt=0, description="Timeout for receiving the body of a request, in seconds."
    )
    client_address: Literal["truncated", "full", "none"] = Field(
        default="truncated",
        description="What is stored of client IP addresses: truncated (the /24 network for IPv4, /48 for IPv6), full or none. "
        "See Client addresses in docs/reference/settings.md.",
    )
    respect_do_not_track: bool = Field(
        default=False, description="Whether to drop events of browsers that send DNT or Sec-GPC."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Proxies whose X-Forwarded-For header is trusted: addresses or networks, separated by commas.",
    )
