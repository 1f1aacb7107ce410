"""Columns of `events` for one event at a time, for the live numbers: a SQL statement for each line would take too long.

`sql/events.sql` has the same rules for tables, with the patterns declared here; a test compares both over thousands of events.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from radar_assets.events.user_agents import LOOKED_AT, client

GROUP_PREFIX = "$group:"
"""Start of the anonymous id of PostHog's events about a group, which its server SDKs send without a person's id."""

VIEW_TYPES = ("page", "screen")
VIEW_EVENTS = ("page_view", "screen_view")
"""Events whose properties describe the page. Those of other events may name any page, such as that of an outbound link."""

SESSION_IN_PATH = (
    r"(?i)(?:;|%3b)(?:jsessionid|phpsessid|phpsession|sessionid|aspsessionid[a-z]*|sid|cfid|cftoken)(?:=|%3d)[^/;]*"
    r"|/\((?:[a-z]\([a-z0-9_-]+\))+\)"
)
"""Session ids in paths, as servlets, PHP, ColdFusion and ASP.NET write them for browsers without cookies."""
ESCAPES = r"(?:%[89A-Fa-f][0-9A-Fa-f])+|%[0-7][0-9A-Fa-f]"
READABLE_ESCAPE = (
    r"(?:%[89A-Fa-f][0-9A-Fa-f])+"
    r"|%(?:2[2DEde]|3[0-9CEce]|4[1-9A-Fa-f]|5[0-9AaEeFf]|6[0-9A-Fa-f]|7[0-9A-Ea-e])"
)
"""Percent-encoded characters that mean the same without encoding: letters, digits and signs that delimit nothing in a URL."""

_SESSION_IN_PATH, _ESCAPES, _READABLE_ESCAPE = map(re.compile, (SESSION_IN_PATH, ESCAPES, READABLE_ESCAPE))
_PORT, _ESCAPED_AMPERSAND = re.compile(r"\.*(?::[0-9]*)?\Z"), re.compile(r"&(?:amp;)+")
_DOT_SEGMENT = re.compile(r"/\.\.?(?:/|\Z)")


def is_of_group(type: str | None, protocol: str, user_id: str | None, anonymous_id: str | None) -> bool:
    """Whether a server sent the event about a group, and not about a visitor."""
    return (
        type == "group" and protocol == "posthog" and user_id is None and (anonymous_id or "").startswith(GROUP_PREFIX)
    )


def is_bot(properties: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    """Whether the user agent is a bot's."""
    for fields, name in ((context, "userAgent"), (context, "user_agent"), (properties, "$raw_user_agent")):
        if fields.get(name) is not None:
            return client(_text(fields, name)[:LOOKED_AT]).is_bot
    return False


class Place(NamedTuple):
    """The URL of the page on which an event happened, and the path that the sender states separately; empty where there is none."""

    url: str
    given_path: str
    is_hash_routed: bool

    @property
    def path(self) -> str | None:
        """The path of the page, if any, in normal form and without query."""
        if not self.given_path and not self.url:
            return None
        path = _location(self.given_path or self.url)
        if not self.given_path:
            scheme, slashes, rest = path.partition("//")
            if slashes and (not scheme or (scheme.endswith(":") and "/" not in scheme)):
                path = rest[len(rest.partition("/")[0]) :]
        path = _SESSION_IN_PATH.sub("", path if path.startswith("/") else f"/{path}") or "/"
        route = self._fragment.partition("?")[0]
        return _normal(f"{path}#{route}" if route else path)

    @property
    def host(self) -> str:
        """The host of the URL, without port."""
        scheme, _, rest = _location(self.url).partition("/")
        if (scheme and not scheme.endswith(":")) or not rest.startswith("/"):
            return ""
        host = rest[1:].partition("/")[0].rpartition("@")[2].lower()
        return _PORT.sub("", host) if ":" in host or host.endswith(".") else host

    @property
    def query(self) -> str:
        """The parameters of the URL and of its fragment, each after an ampersand."""
        query = self.url.partition("#")[0].partition("?")[2]
        _, mark, query_of_route = self._fragment.partition("?")
        query = f"&{query}&{query_of_route}" if mark else f"&{query}" if query else ""
        return _ESCAPED_AMPERSAND.sub("&", query) if "&amp;" in query else query

    @property
    def _fragment(self) -> str:
        """The part of the URL that routes within an app."""
        if not self.is_hash_routed:
            return ""
        return self.url.partition("#")[2] or self.given_path.partition("#")[2]


def place(
    type: str | None,
    event: str | None,
    properties: Mapping[str, Any],
    context: Mapping[str, Any],
    *,
    is_hash_routed: bool = False,
) -> Place:
    """The page on which it happened.

    Args:
        type, event: decide whether the properties describe the page.
        is_hash_routed: whether the fragment of the URL belongs to the page in this project; the event may say so itself.
    """
    page = context.get("page")
    if not isinstance(page, dict):
        page = {}
    described = properties if type in VIEW_TYPES or event in VIEW_EVENTS else {}
    own_url = _text(described, "url") or _text(properties, "$current_url")
    return Place(
        url=own_url or _text(page, "url"),
        given_path=_text(described, "path") or ("" if own_url else _text(page, "path")),
        is_hash_routed=is_hash_routed or _text(page, "hash_routing") == "true",
    )


def client_address(context: Mapping[str, Any]) -> str:
    """The address of the client; empty if it is not kept."""
    return _text(context, "ip")


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A value as text, like a JSON value cast to text in SQL; empty if absent."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _location(address: str) -> str:
    return address.partition("#")[0].partition("?")[0]


def _normal(path: str) -> str:
    """The normal form of RFC 3986, with letters outside of ASCII shown as letters."""
    path = _ESCAPES.sub(_unescaped, path.replace(" ", "%20"))
    if "/." not in path:
        return path
    path, hash_mark, route = path.partition("#")
    if _DOT_SEGMENT.search(path):
        names = re.sub(r"(/\.\.?)\Z", r"\1/", path).split("/")
        path = names[0]
        for name in names[1:]:
            if name == "..":
                path = path.rpartition("/")[0]
            elif name != ".":
                path += f"/{name}"
    return path + hash_mark + route


def _unescaped(found: re.Match[str]) -> str:
    if _READABLE_ESCAPE.fullmatch(found[0]):
        try:
            return bytes.fromhex(found[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            pass
    return found[0].upper()
