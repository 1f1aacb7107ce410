"""Reverse proxies in front of the server: whose address a request has, and whom the proxy has logged in.

Only headers of the configured proxies are believed. Whoever reaches the server past them can send any header.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from radar_assets.access.outside_logins import OutsidePerson, proxy_subject
from radar_assets.access.roles import Principal
from radar_assets.access.settings import LoginSettings
from radar_assets.api.accounts import LoginRefusedError
from radar_assets.api.identity import Identity
from radar_assets.api.pages import page, wants_page
from radar_assets.api.problems import problem

SECRET_HEADER = "x-radar-proxy-secret"
TRUSTED = "radar.proxy"
"""Key of the ASGI scope: whether the request comes from a proxy of the settings."""
FOUND = "radar.proxy_identity"
"""The same: who was found when the request arrived."""
Admit = Callable[[OutsidePerson, str], Principal]


class RefusedHeaderError(Exception):
    """A header with a login is not that of a proxy, or is ambiguous; or the person is not admitted."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Proxied:
    """Puts the address of the client in place of that of the proxy, and identifies whom the proxy has logged in."""

    def __init__(self, settings: LoginSettings, admit: Admit) -> None:
        """
        Args:
            admit: adds or finds the user of a person. It may block.
        """
        self._settings, self._admit = settings, admit
        self._networks = settings.proxy_networks
        self._secret = settings.ui_proxy_secret.get_secret_value() if settings.ui_proxy_secret else ""
        self._key = secrets.token_bytes(32)

    def around(self, app: ASGIApp) -> "Behind":
        """An application behind the proxies."""
        return Behind(self, app)

    async def call(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as it was sent to the proxies."""
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        scope = self._seen_through(scope)
        try:
            scope[FOUND] = await self._check(HTTPConnection(scope))
        except RefusedHeaderError as error:
            await _refuse(error, scope, receive, send)
            return
        await app(scope, receive, send)

    async def find(self, connection: HTTPConnection) -> Identity | None:
        """Whom the proxy has logged in; None if it has no one, or the person has been disabled meanwhile."""
        if FOUND in connection.scope:
            # Once: an open websocket is looked up again later.
            return connection.scope.pop(FOUND)
        try:
            return await self._check(connection)
        except RefusedHeaderError:
            return None

    def _seen_through(self, scope: Scope) -> Scope:
        """A request as it was sent to the proxies."""
        headers = Headers(scope=scope)
        trusted = self._is_trusted(scope, headers)
        kept = [(name, value) for name, value in scope["headers"] if name != SECRET_HEADER.encode()]
        scope = {**scope, "headers": kept, TRUSTED: trusted}
        if trusted:
            hops = [hop for line in headers.getlist("x-forwarded-for") for hop in line.split(",")]
            peer = scope["client"][0] if scope.get("client") else ""
            scope["client"] = (client_address(peer, hops, self._networks), 0)
        return scope

    def _is_trusted(self, scope: Scope, headers: Headers) -> bool:
        if not (self._networks or self._secret):
            return False
        peer = _address(scope["client"][0]) if scope.get("client") else None
        if self._networks and not _is_in(peer, self._networks):
            return False
        given = headers.getlist(SECRET_HEADER)
        return not self._secret or (len(given) == 1 and hmac.compare_digest(given[0].encode(), self._secret.encode()))

    async def _check(self, connection: HTTPConnection) -> Identity | None:
        """The identity of the header.

        Raises:
            RefusedHeaderError: it is refused.
        """
        header = self._settings.ui_user_header
        names = connection.headers.getlist(header) if header else []
        if not header or not names:
            return None
        if not connection.scope.get(TRUSTED):
            raise RefusedHeaderError(
                403,
                f"The header {header} is only accepted from the proxies of RADAR_UI_PROXIES"
                f"{' with the secret of RADAR_UI_PROXY_SECRET' if self._secret else ''}. Open the UI at its public address.",
            )
        if len(names) > 1:
            raise RefusedHeaderError(
                400, f"The header {header} is there twice. The proxy must replace that of the client."
            )
        name = names[0].strip()
        if not name:
            return None
        address = connection.client.host if connection.client else ""
        try:
            principal = await asyncio.to_thread(self._admit, self._person(connection, name), address)
        except LoginRefusedError as error:
            raise RefusedHeaderError(error.status, str(error)) from error
        secret = hmac.new(self._key, principal.id.encode(), hashlib.sha256).hexdigest()
        return Identity(principal, "proxy", secret)

    def _person(self, connection: HTTPConnection, name: str) -> OutsidePerson:
        header = self._settings.ui_groups_header
        lines = connection.headers.getlist(header) if header else []
        # Two lines may be the client's and the proxy's.
        groups = [group.strip() for group in lines[0].split(",")] if len(lines) == 1 else []
        role = self._settings.grants.role_of(groups)
        return OutsidePerson(proxy_subject(name), name, *(role or (None, None)))


@dataclass(frozen=True)
class Behind:
    """An application behind proxies."""

    proxied: Proxied
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.proxied.call(self.app, scope, receive, send)


def client_address(peer: str, hops: Sequence[str], networks: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address of the client: the last hop that is no proxy. Earlier hops are the client's own words.

    Args:
        peer: address of the proxy that has sent the request.
        hops: of X-Forwarded-For.
    """
    nearest = peer
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            return nearest
        nearest = str(address)
        if not _is_in(address, networks):
            break
    return nearest


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


def _is_in(address: IPv4Address | IPv6Address | None, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return address is not None and any(address in network for network in networks)


async def _refuse(error: RefusedHeaderError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    request = Request(scope, receive)
    response: Response
    if request.url.path.startswith("/v1/"):
        response = problem(error.status, str(error))
    elif wants_page(request):
        response = page(request, "message.html", None, error.status, title="Not logged in", message=str(error))
    else:
        response = JSONResponse({"error": str(error)}, error.status, {"Cache-Control": "no-store"})
    await response(scope, receive, send)
