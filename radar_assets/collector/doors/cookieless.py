"""Shared code for protocols of cookieless trackers, whose events have no visitor, no id and often no time.

Names of fields belong to the doors.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from msgspec import UNSET

from radar_assets.collector.door import Event, Request
from radar_assets.collector.payloads import Payload, with_members

RESEND = timedelta(seconds=2)
"""Identical requests of a visitor within this time are copies of one event."""
VIEW_RESEND = timedelta(seconds=1)
"""The same for page views. Several people behind one address and with the same browser often open the same page together."""


def event_of(
    request: Request,
    key: str,
    kind: Any,
    *,
    page: Mapping[str, Any],
    name: Any = None,
    properties: Payload = UNSET,
    members: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    user_id: Any = None,
    timestamp: Any = None,
    address: Any = None,
    user_agent: Any = None,
    interactive: Any = None,
    hash_routing: bool = False,
) -> Event:
    """The one event of a request.

    Args:
        key: the write key.
        kind: its type.
        page: `url`, `title` and `referrer` of the page that it happened on.
        members: members to add to its properties, unless these have the same names.
        address, user_agent: those of the visitor, if a server sends on behalf of others. The address is not kept.
        interactive: `False` if the sender marks the event as passive, which means that the visitor did nothing.
        hash_routing: whether the fragment of the URL is part of the page, as in single-page apps that use it for navigation.
    """
    browser = user_agent if isinstance(user_agent, str) else request.sender.user_agent
    visitor = request.sender.visitor_id(key, address if isinstance(address, str) else "", browser)
    surroundings = {"userAgent": browser, "ip": None if address else request.address, **(context or {})}
    surroundings["page"] = _given({**({} if kind == "page" else page), "hash_routing": hash_routing})
    surroundings = _given(surroundings)
    if interactive is not None:
        surroundings["interactive"] = interactive
    return Event(
        event_id=_event_id(request, visitor, timestamp, VIEW_RESEND if kind == "page" else RESEND),
        type=kind,
        event=name,
        user_id=user_id,
        anonymous_id=visitor,
        timestamp=timestamp,
        properties=with_members(properties, {**(members or {}), **(_given(page) if kind == "page" else {})}),
        context=surroundings,
    )


def _event_id(request: Request, visitor: str, timestamp: Any, within: timedelta) -> str:
    """An id that copies of a request share. A request with a time is the same event whenever it is received."""
    content = blake2b(request.body, key=visitor.encode(), digest_size=16)
    if not timestamp:
        content.update(request.sender.first_sent(content.hexdigest(), within).isoformat().encode())
    return content.hexdigest()


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
