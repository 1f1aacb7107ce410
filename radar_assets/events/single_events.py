"""Columns of `events` for one event at a time, for the live numbers: a SQL statement for each line would take too long.

`sql/events.sql` has the same rules for tables; a test compares both over thousands of events.
"""

import json
from collections.abc import Mapping
from typing import Any

from radar_assets.events.user_agents import LOOKED_AT, client

GROUP_PREFIX = "$group:"
"""Start of the anonymous id of PostHog's events about a group, which its server SDKs send without a person's id."""


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


def page_path(properties: Mapping[str, Any], context: Mapping[str, Any]) -> str | None:
    """The path of the page on which it happened, if any, without query and fragment."""
    page = context.get("page")
    if not isinstance(page, dict):
        page = {}
    own_url = _text(properties, "url") or _text(properties, "$current_url")
    given = _text(properties, "path") or ("" if own_url else _text(page, "path"))
    if given:
        path = _location(given)
    else:
        url = own_url or _text(page, "url")
        if not url:
            return None
        path = _location(url)
        scheme, slashes, rest = path.partition("//")
        if slashes and (not scheme or (scheme.endswith(":") and "/" not in scheme)):
            path = rest[len(rest.partition("/")[0]) :]
    return path if path.startswith("/") else f"/{path}"


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A value as text, like a JSON value cast to text in SQL; empty if absent."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _location(address: str) -> str:
    return address.partition("#")[0].partition("?")[0]
