"""Recording actions: one line in the audit log for each, before it takes place, and another one if it then fails."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from radar_assets.access.roles import Principal


class Record(Protocol):
    """Writes a line of the audit log. It may block."""

    def __call__(
        self,
        principal: Principal | None,
        action: str,
        target: str,
        *,
        result: str,
        address: str,
        details: Mapping[str, Any],
    ) -> None:
        """Write it.

        Args:
            principal: who acts; None before a login.
            target: what the action is on.
            result: allowed, refused or failed.
            address: where the request comes from.
        """
        ...


async def note(
    record: Record,
    connection: HTTPConnection,
    principal: Principal | None,
    action: str,
    target: str = "",
    *,
    result: str = "allowed",
    **details: Any,
) -> None:
    """Write a line about a request. An action whose line can't be written must not take place."""
    address = connection.client.host if connection.client else ""
    await asyncio.to_thread(record, principal, action, target, result=result, address=address, details=details)
