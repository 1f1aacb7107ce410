"""Login and logout by browser, with a password or a one-time link.

Each login starts a new session and ends that of the browser, so that no one can plant a session in advance. A cookie binds the form to
the browser that loaded it.
"""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from radar_assets.access.roles import Principal, Role
from radar_assets.api.actions import note
from radar_assets.api.identity import COOKIE, Identities, identity_of
from radar_assets.api.local_access import LocalAccess
from radar_assets.api.pages import page
from radar_assets.api.problems import ProblemError
from radar_assets.api.routing import RadarRoute, form_field, has_form_token, is_same, signed_in

FORM_COOKIE = "radar_login"
HOME = "/radar/jobs"


class LoginRefusedError(Exception):
    """Name or password are wrong, or there were too many attempts.

    Attributes:
        status: 401 or 429.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Logins(Protocol):
    """Starts and ends sessions. The methods may block."""

    def log_in(self, name: str, password: str, address: str) -> tuple[str, Principal]:
        """Start a session by password. Returns its secret and user.

        Raises:
            LoginRefusedError: it is refused.
        """
        ...

    def redeem(self, link: str) -> tuple[str, Principal] | None:
        """Start a session by the secret of a one-time link; None if it is unknown, used or expired."""
        ...

    def log_out(self, secret: str) -> None:
        """End a session."""
        ...


def login_routes(identities: Identities, local: LocalAccess, accounts: Logins | None = None) -> list[RadarRoute]:
    """The routes of login and logout.

    Args:
        local: its links work besides those of accounts.
        accounts: users with passwords. None: people log in by the links of `local`.
    """
    pages = _LoginPages(identities, local, accounts)
    return [
        RadarRoute("GET", "/login", pages.show, None),
        RadarRoute("POST", "/login", pages.log_in, None),
        RadarRoute("GET", "/login/link", pages.follow, None),
        RadarRoute("POST", "/logout", pages.log_out, None),
        RadarRoute("POST", "/v1/login-links", pages.make_link, Role.ADMIN),
    ]


@dataclass(frozen=True)
class _LoginPages:
    """The functions of the routes; arguments as of `login_routes`."""

    identities: Identities
    local: LocalAccess
    accounts: Logins | None

    async def show(self, request: Request) -> Response:
        return self._form(request, own_path(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        name, target = await form_field(request, "name"), own_path(await form_field(request, "next"))
        bound = request.cookies.get(self.identities.cookie_name(request, FORM_COOKIE), "")
        if not is_same(await form_field(request, "form_token"), bound):
            return self._form(request, target, name, 403, "The form has expired. Try again.")
        if self.accounts is None:
            return self._form(request, target, name, 403, "There are no users with passwords. Open a one-time link.")
        address = request.client.host if request.client else ""
        password = await form_field(request, "password")
        try:
            found = await asyncio.to_thread(self.accounts.log_in, name, password, address)
        except LoginRefusedError as error:
            await note(request.app.state.record, request, None, "login", name, result="refused")
            return self._form(request, target, name, error.status, str(error))
        return await self._begun(request, found, target)

    async def follow(self, request: Request) -> Response:
        """Log in by a one-time link."""
        found = None
        if request.method == "GET":  # programs that preview links send HEAD
            secret = request.query_params.get("secret", "")
            found = self.local.redeem(secret)
            if found is None and self.accounts:
                found = await asyncio.to_thread(self.accounts.redeem, secret)
        if found is None:
            await note(request.app.state.record, request, None, "login by link", result="refused")
            return self._form(request, HOME, status=403, problem="The link was used before or has expired.")
        return await self._begun(request, found, own_path(request.query_params.get("next", "")))

    async def log_out(self, request: Request) -> Response:
        identity = identity_of(request.scope)
        response = _redirect("/login")
        if identity and identity.way == "cookie":
            if not await has_form_token(request, identity):
                reason = "Load the page again."
                return page(request, "message.html", identity, 403, title="Not logged out", message=reason)
            await self._end(identity.secret)
            await note(request.app.state.record, request, identity.principal, "logout", identity.principal.name)
        is_secure = self.identities.is_secure(request)
        response.delete_cookie(self.identities.cookie_name(request), secure=is_secure, httponly=True, samesite="lax")
        return response

    async def make_link(self, request: Request) -> Response:
        """A new link, for commands on this machine."""
        principal = signed_in(request).principal
        if principal.kind != "shell":
            raise ProblemError(403, "Only commands on the machine of the server make links.")
        await note(request.app.state.record, request, principal, "make login link")
        path = f"/login/link?secret={self.local.make_link()}"
        return JSONResponse({"path": path}, 201, {"Cache-Control": "no-store"})

    async def _begun(self, request: Request, found: tuple[str, Principal], target: str) -> Response:
        """The response that begins a session."""
        secret, principal = found
        if before := request.cookies.get(self.identities.cookie_name(request)):
            await self._end(before)
        await note(request.app.state.record, request, principal, "login", principal.name)
        response = _redirect(target)
        _set_cookie(response, request, self.identities, COOKIE, secret)
        response.delete_cookie(
            self.identities.cookie_name(request, FORM_COOKIE), secure=self.identities.is_secure(request)
        )
        return response

    async def _end(self, secret: str) -> None:
        self.local.log_out(secret)
        if self.accounts:
            await asyncio.to_thread(self.accounts.log_out, secret)

    def _form(self, request: Request, target: str, name: str = "", status: int = 200, problem: str = "") -> Response:
        token = secrets.token_urlsafe(32)
        response = page(
            request,
            "login.html",
            status=status,
            title="Log in",
            has_accounts=self.accounts is not None,
            form_token=token,
            next=target,
            name=name,
            problem=problem,
        )
        _set_cookie(response, request, self.identities, FORM_COOKIE, token)
        return response


def own_path(target: str) -> str:
    """A path of this server to continue at, or that of the jobs page in place of anything else."""
    # Browsers drop control characters, and take a backslash for a slash.
    if not target.startswith("/") or any(character <= " " or character in "\\\x7f" for character in target):
        return HOME
    try:
        parts = urlsplit(target)
    except ValueError:
        return HOME
    is_own = not (parts.scheme or parts.netloc) and not target.startswith("//")
    return target if is_own and not parts.path.startswith(("/login", "/logout")) else HOME


def _set_cookie(response: Response, request: Request, identities: Identities, name: str, value: str) -> None:
    response.set_cookie(
        identities.cookie_name(request, name),
        value,
        path="/",
        secure=identities.is_secure(request),
        httponly=True,
        # Not strict: links in mails open pages of the UI.
        samesite="lax",
    )


def _redirect(target: str) -> RedirectResponse:
    return RedirectResponse(target, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
