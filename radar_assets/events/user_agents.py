"""Parses user agents: browser, operating system, device type, and whether the client is a bot.

Definitions come from uap-core (`ua-parser`), crawlers from `crawler-user-agents`. Neither has device types, so those are determined
here.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    from ua_parser import Parser

# Browsers send shorter ones, and the relevant part comes first. Hostile user agents cost no more than others.
LOOKED_AT = 1_000
_REMEMBERED = 50_000

# All browsers on phones send `Mobi`. Android without it is a tablet, or a television, which has no device type here.
_TELEVISION = re.compile(r"\bTV\b|SmartTV|SMART-TV|GoogleTV|AppleTV|BRAVIA|CrKey|\bAFT[A-Z]")
_TABLET = re.compile(r"iPad|PlayBook|Kindle|Silk/|Tablet(?! PC)")
_PHONE = re.compile(r"Mobi|iPhone|iPod|Phone|Opera Mini|BlackBerry|Symbian|J2ME")
_DESKTOP = re.compile(
    r"Windows|Mac OS|Linux|Chrome OS|[KX]?ubuntu|Debian|Fedora|Red Hat|CentOS|SUSE|\w+BSD|Solaris", re.I
)

# Some apps in which people browse have the name of a crawler, such as Sogou's browser and WhatsApp's desktop app. The crawlers have no
# browser engine in their user agent, so these names say nothing in one that has.
_APP = re.compile(
    r"\b(?:SogouMSE|SogouMobileBrowser|SogouSearch|WhatsApp|Sonic|Slack|Notion|Viber|Bluesky|Mastodon|Tootsuite)\b(?:/[\w.]*)?"
)
_EMBEDDED = re.compile(r"AppleWebKit/.*(?:Electron/|Mobile/|Mobile Safari/)")


class Client(NamedTuple):
    """A client; fields are `None` if unknown.

    Attributes:
        device_type: `desktop`, `mobile`, `tablet` or `bot`.
    """

    browser: str | None
    browser_version: str | None
    os: str | None
    device_type: str | None
    is_bot: bool


def describe_user_agents(distinct: Iterable[str | None]) -> "pa.Table":
    """The table `user_agents` that `events.sql` joins: `user_agent` and the fields of its `Client`.

    Args:
        distinct: distinct user agents from `user_agents.sql`; `None` is skipped.
    """
    import pyarrow as pa

    schema = pa.schema(
        [
            ("user_agent", pa.string()),
            *((field, pa.string()) for field in Client._fields if field != "is_bot"),
            ("is_bot", pa.bool_()),
        ]
    )
    rows = [(text, *client(text[:LOOKED_AT])) for text in distinct if text is not None]
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


@lru_cache(maxsize=_REMEMBERED)
def client(user_agent: str) -> Client:
    """Parse one user agent."""
    from ua_parser import parse_os, parse_user_agent

    browser, system = parse_user_agent(user_agent), parse_os(user_agent)
    is_bot = _is_bot(_APP.sub("", user_agent) if _EMBEDDED.search(user_agent) else user_agent)
    return Client(
        browser=browser.family if browser else None,
        browser_version=browser.major if browser else None,
        os=system.family if system else None,
        device_type="bot" if is_bot else _device_type(user_agent, system.family if system else None),
        is_bot=is_bot,
    )


def _is_bot(user_agent: str) -> bool:
    from ua_parser import parse_device

    device = parse_device(user_agent)
    return _crawlers().parse_user_agent(user_agent) is not None or (device is not None and device.family == "Spider")


def _device_type(user_agent: str, system: str | None) -> str | None:
    if _TELEVISION.search(user_agent):
        return None
    if _TABLET.search(user_agent):
        return "tablet"
    if _PHONE.search(user_agent):
        return "mobile"
    if system == "Android":
        return "tablet"
    return "desktop" if system and _DESKTOP.match(system) else None


@cache
def _crawlers() -> "Parser":
    """The crawler patterns as user agent definitions: this matcher is thirty times faster than the package's own loop."""
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA
    from ua_parser import Parser
    from ua_parser.lazy import (
        UserAgentMatcher,
    )  # the eager one compiles each pattern, and the resolver compiles it again
    from ua_parser.regex import Resolver

    return Parser(
        Resolver(([UserAgentMatcher(crawler["pattern"], "crawler") for crawler in CRAWLER_USER_AGENTS_DATA], [], []))
    )
