"""Who a request comes from: a token in the Authorization header, a session in a cookie, or a proxy that knows.

What they may do is decided where it is protected: by the routes in `routing.py`, and for the Dagster UI in `ui_gate.py`.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Literal

from starlette.requests import HTTPConnection
from starlette.types import Scope

from radar_assets.access.roles import Principal
from radar_assets.origins import Origin

SCOPE = "radar.identity"
"""Key of the ASGI scope."""
COOKIE = "radar_session"
Find = Callable[[str], Principal | None]
"""Looks up a token or session. It may block."""


@dataclass(frozen=True)
class Identity:
    """An identified request.

    Attributes:
        way: how it was identified. Browsers send cookies by themselves and a proxy adds its header to whatever they send, so that
            forms need a `form_token`.
        secret: that of the session or token; for those that a proxy has identified, one of this process.
    """

    principal: Principal
    way: Literal["token", "cookie", "proxy"]
    secret: str

    @property
    def form_token(self) -> str:
        """What a form has to contain. Only pages of the same session have it."""
        return hmac.new(self.secret.encode(), b"radar form", hashlib.sha256).hexdigest()


class Identities:
    """Identifies requests."""

    def __init__(
        self,
        find_token: Find,
        find_session: Find,
        *,
        public: Collection[Origin] = (),
        find_outside: Callable[[HTTPConnection], Awaitable[Identity | None]] | None = None,
    ) -> None:
        """
        Args:
            find_outside: looks up whom a proxy has identified.
            find_token, find_session: look up a token, and the secret of a session.
            public: origins behind a proxy that ends TLS.
        """
        self._find_token, self._find_session, self._find_outside = find_token, find_session, find_outside
        self._https_hosts = {origin.host for origin in public if origin.scheme == "https"}

    def is_secure(self, connection: HTTPConnection) -> bool:
        """Whether the browser uses https, with this server or with the proxy in front of it."""
        return connection.url.scheme in ("https", "wss") or (connection.url.hostname or "") in self._https_hosts

    def cookie_name(self, connection: HTTPConnection, name: str = COOKIE) -> str:
        """The name of a cookie. Under https, browsers accept the prefix only from this host itself and with Secure."""
        return f"__Host-{name}" if self.is_secure(connection) else name

    async def find(self, connection: HTTPConnection) -> Identity | None:
        """The identity of a request; None without a valid token or session."""
        authorization = connection.headers.getlist("authorization")
        if authorization:
            # A request with a token is that of a program: the cookie of a browser doesn't stand in for an invalid one.
            scheme, _, token = authorization[0].partition(" ")
            if len(authorization) > 1 or scheme.lower() != "bearer":
                return None
            return await self._identity(self._find_token, token.strip(), "token")
        if self._find_outside and (outside := await self._find_outside(connection)):
            return outside
        secret = connection.cookies.get(self.cookie_name(connection))
        return await self._identity(self._find_session, secret, "cookie") if secret else None

    async def _identity(self, find: Find, secret: str, way: Literal["token", "cookie"]) -> Identity | None:
        found = await asyncio.to_thread(find, secret)
        return Identity(found, way, secret) if found else None


def identity_of(scope: Scope) -> Identity | None:
    """The identity that the application has found for a request."""
    return scope.get(SCOPE)


def principal_of_source(source: object) -> Principal | None:
    """The principal of the request that a context of the Dagster UI is for."""
    identity = identity_of(source.scope) if isinstance(source, HTTPConnection) else None
    return identity.principal if identity else None
