"""Reading the audit log by API. It is written by `actions.py`."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from radar_assets.access.audit import list_entries
from radar_assets.access.roles import Role
from radar_assets.api.problems import ProblemError
from radar_assets.api.routing import Description, RadarRoute
from radar_assets.store.database import Store

MAX_ENTRIES = 1000


class Entry(msgspec.Struct):
    """A line of the audit log.

    Attributes:
        kind, id, who: user, token or shell; its id and name.
        object: what the action was on.
        result: ok or allowed, refused, or failed.
    """

    number: int
    at: datetime
    kind: str
    id: str
    who: str
    action: str
    object: str
    result: str
    address: str | None
    project_id: str | None
    details: Any


class Entries(msgspec.Struct):
    """Lines of the audit log, the latest first."""

    entries: list[Entry]


def audit_route(store: Store) -> RadarRoute:
    """The route of the log."""

    async def show(request: Request) -> Response:
        limit = _number(request, "limit", 100, MAX_ENTRIES)
        before = _number(request, "before", None, 2**62)
        found = await asyncio.to_thread(list_entries, store, limit=limit or 100, before=before)
        entries = [
            Entry(
                row.number,
                row.at.replace(tzinfo=UTC),
                row.principal_kind,
                row.principal_id,
                row.principal_name,
                row.action,
                row.object,
                row.result,
                row.address,
                row.project_id,
                msgspec.Raw(row.details.encode()),
            )
            for row in found
        ]
        body = msgspec.json.encode(Entries(entries))
        return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")

    described = Description(
        "list_audit_entries",
        "List entries of the audit log, the latest first",
        (200, Entries),
        query={
            "limit": f"Maximum number of entries, up to {MAX_ENTRIES}.",
            "before": "Only entries with a lower number.",
        },
        problems={400: "A parameter is not a number in its range."},
    )
    return RadarRoute("GET", "/v1/audit", show, Role.ADMIN, described)


def _number(request: Request, name: str, default: int | None, most: int) -> int | None:
    values = request.query_params.getlist(name)
    if not values:
        return default
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,19}", values[0]) or not 1 <= int(values[0]) <= most:
        raise ProblemError(400, f"{name} must be a number from 1 to {most}.", field=name)
    return int(values[0])
