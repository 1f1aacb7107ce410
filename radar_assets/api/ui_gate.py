"""The gate of the Dagster UI: which of its requests a person or program may make.

What GraphQL may do is in `graphql_policy.py`. The only other state changes of the UI are reports of asset events; what is not known is
refused.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radar_assets.access.roles import Principal, Role
from radar_assets.api.actions import Record, note
from radar_assets.api.graphql_policy import PolicyError, judge
from radar_assets.api.identity import Identity, identity_of
from radar_assets.api.pages import forbidden_page, wants_page

MAX_BODY_BYTES = 4_000_000
RECHECK_S = 5.0
"""How often an open websocket is checked for a session that has ended, or a role that has changed."""
GRAPHQL = "/graphql"
REPORTS = ("/report_asset_materialization/", "/report_asset_check/", "/report_asset_observation/")
SESSION_ENDED, POLICY_VIOLATION = 4401, 1008
SOME_PROJECTS = (
    "The Dagster UI and the jobs page show all projects, and your role is for some of them. "
    "Ask an admin for a role for all."
)

Identify = Callable[[HTTPConnection], Awaitable[Identity | None]]


class UIGate:
    """Puts the gate in front of the UI."""

    def __init__(self, ui: ASGIApp, identify: Identify, record: Record) -> None:
        """
        Args:
            identify: looks up the identity of an open websocket again.
        """
        self._ui, self._identify, self._record = ui, identify, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(Request(scope, receive), send)
        else:
            await self._ui(scope, receive, send)

    async def _http(self, request: Request, send: Send) -> None:
        identity, scope = identity_of(request.scope), request.scope
        response: Response
        if identity is None:
            response = login_needed(request)
        elif not identity.principal.may(Role.VIEWER):
            response = forbidden(request, SOME_PROJECTS, identity)
        elif request.method in ("GET", "HEAD"):
            await self._ui(scope, request.receive, send)
            return
        elif scope["path"] == GRAPHQL:
            await self._graphql(request, identity.principal, send)
            return
        elif scope["path"].startswith(REPORTS):
            await self._report(request, identity, send)
            return
        else:
            response = JSONResponse({"error": "The UI takes no such request."}, 405, {"Allow": "GET, HEAD"})
        await response(scope, request.receive, send)

    async def _graphql(self, request: Request, principal: Principal, send: Send) -> None:
        try:
            body = await _body(request)
            allowed = judge(_json(body), principal)
        except PolicyError as error:
            if error.status == 403:
                await note(self._record, request, principal, "graphql", result="refused", reason=str(error))
            response = JSONResponse(
                {"data": None, "errors": [{"message": str(error)}], "error": str(error)}, error.status
            )
            await response(request.scope, request.receive, send)
            return
        for mutation in allowed.mutations:
            await note(self._record, request, principal, "graphql", mutation.name, arguments=mutation.arguments)
        statuses: list[int] = []
        await self._ui(*_with_body(request, json.dumps(allowed.payload).encode()), _noting(send, statuses))
        if statuses and statuses[0] >= 400:
            for mutation in allowed.mutations:
                await note(
                    self._record, request, principal, "graphql", mutation.name, result="failed", status=statuses[0]
                )

    async def _report(self, request: Request, identity: Identity, send: Send) -> None:
        path, principal = request.scope["path"], identity.principal
        action, _, asset = path.strip("/").partition("/")
        if not principal.may(Role.OPERATOR):
            await note(self._record, request, principal, action, asset, result="refused")
            response = forbidden(
                request, f"Reporting asset events needs the role operator; you are {principal.role}.", identity
            )
            await response(request.scope, request.receive, send)
            return
        await note(self._record, request, principal, action, asset)
        await self._ui(request.scope, request.receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = identity_of(scope)
        if identity is None or not identity.principal.may(Role.VIEWER) or scope["path"] != GRAPHQL:
            await receive()  # the request to connect, which closing then refuses with 403
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        await _Socket(self._identify, HTTPConnection(scope), identity.principal, receive, send).run(self._ui)


@dataclass
class _Socket:
    """An open websocket, whose messages are judged, and which ends with its session."""

    identify: Identify
    connection: HTTPConnection
    principal: Principal
    receive: Receive
    send: Send

    def __post_init__(self) -> None:
        self._checked_at = time.monotonic()
        self._is_closed = False
        self._next: asyncio.Task[Message] | None = None

    async def run(self, ui: ASGIApp) -> None:
        try:
            await ui(self.connection.scope, self._judged, self._send)
        finally:
            if self._next:
                self._next.cancel()

    async def _send(self, message: Message) -> None:
        if not self._is_closed:
            await self.send(message)

    async def _judged(self) -> Message:
        """The next message that the UI may see."""
        while True:
            message = await self._arrived()
            if message is None:
                return await self._closed(SESSION_ENDED, "The session has ended.")
            if message["type"] != "websocket.receive":
                return message
            parsed = _json((message.get("text") or "").encode())
            if not isinstance(parsed, dict):
                return await self._closed(POLICY_VIOLATION, "Messages must be JSON objects.")
            if not (parsed.get("type") in ("start", "subscribe") or "payload" in parsed):
                return {"type": "websocket.receive", "text": json.dumps(parsed)}
            if parsed.get("type") == "connection_init":
                return {"type": "websocket.receive", "text": json.dumps({"type": "connection_init"})}
            try:
                allowed = judge(parsed.get("payload"), self.principal, "websocket")
            except PolicyError as error:
                refusal = {"type": "error", "id": parsed.get("id"), "payload": {"message": str(error)}}
                await self._send({"type": "websocket.send", "text": json.dumps(refusal)})
                continue
            start = {
                "type": parsed["type"],
                "id": parsed.get("id"),
                "payload": {**allowed.payload, "operation_name": allowed.payload["operationName"]},
            }
            return {"type": "websocket.receive", "text": json.dumps(start)}

    async def _arrived(self) -> Message | None:
        """The next message; None once the session has ended."""
        while True:
            self._next = self._next or asyncio.ensure_future(self.receive())
            left = self._checked_at + RECHECK_S - time.monotonic()
            await asyncio.wait({self._next}, timeout=max(left, 0))
            if time.monotonic() >= self._checked_at + RECHECK_S:
                found = await self.identify(self.connection)
                self._checked_at = time.monotonic()
                if found is None or not found.principal.may(Role.VIEWER):
                    return None
                self.principal = found.principal
            if self._next.done():
                done, self._next = self._next, None
                return done.result()

    async def _closed(self, code: int, reason: str) -> Message:
        """Close the socket, and the message that tells the UI so."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._is_closed = True
        return {"type": "websocket.disconnect", "code": code}


def login_needed(request: Request) -> Response:
    """The response to a request without a valid token or session: people are sent to the login."""
    if wants_page(request):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?{urlencode({'next': target})}", 303, {"Cache-Control": "no-store"})
    return JSONResponse(
        {"error": "Log in, or send Authorization: Bearer <token>; create one with radar token create"},
        401,
        {"WWW-Authenticate": 'Bearer realm="radar"', "Cache-Control": "no-store"},
    )


def forbidden(request: Request, reason: str, identity: Identity) -> Response:
    """The response to a request that the role doesn't allow."""
    if wants_page(request):
        return forbidden_page(request, reason, identity)
    return JSONResponse({"error": reason}, 403, {"Cache-Control": "no-store"})


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


async def _body(request: Request) -> bytes:
    """The body.

    Raises:
        PolicyError: it is too large.
    """
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise PolicyError(413, f"The request has more than {MAX_BODY_BYTES:,} bytes.")
            parts.append(part)
    except ClientDisconnect:
        return b""
    return b"".join(parts)


def _with_body(request: Request, body: bytes) -> tuple[Scope, Receive]:
    """A request with another body."""
    headers = [(name, value) for name, value in request.scope["headers"] if name not in _ABOUT_BODY]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # Without the state of this request, whose body has been read.
    scope = {**request.scope, "headers": headers}
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return await request.receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return scope, receive


_ABOUT_BODY = (b"content-type", b"content-length", b"transfer-encoding", b"content-encoding")


def _noting(send: Send, statuses: list[int]) -> Send:
    """A `send` that notes the status."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        await send(message)

    return noting
