"""Shared code for protocols of cookieless trackers, whose events have no visitor, no id and often no time.

Names of fields belong to the doors.
"""

from collections.abc import Mapping
from datetime import UTC
from hashlib import blake2b
from typing import Any

from msgspec import UNSET

from radar_assets.collector.door import Event, Request
from radar_assets.collector.payloads import Payload, with_members

RESEND_S = 10
"""Identical requests of a visitor within this window are copies of one event."""


def event_of(
    request: Request,
    site: str,
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
) -> Event:
    """The one event of a request.

    Args:
        kind: its type.
        page: `url`, `title` and `referrer` of the page that it happened on.
        members: members to add to its properties, unless these have the same names.
        address, user_agent: those of the visitor, if a server sends on behalf of others. The address is not kept.
    """
    browser = user_agent if isinstance(user_agent, str) else request.sender.user_agent
    visitor = request.sender.visitor_id(site, address if isinstance(address, str) else "", browser)
    surroundings = {"userAgent": browser, "ip": None if address else request.address, **(context or {})}
    if kind != "page":
        surroundings["page"] = _given(page)
    return Event(
        event_id=_event_id(request, visitor, timestamp),
        type=kind,
        event=name,
        user_id=user_id,
        anonymous_id=visitor,
        timestamp=timestamp,
        properties=with_members(properties, {**(members or {}), **(_given(page) if kind == "page" else {})}),
        context=_given(surroundings),
    )


def _event_id(request: Request, visitor: str, timestamp: Any) -> str:
    span = "" if timestamp else int(request.received_at.replace(tzinfo=UTC).timestamp()) // RESEND_S
    return blake2b(request.body, key=f"{visitor}{span}".encode(), digest_size=16).hexdigest()


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
