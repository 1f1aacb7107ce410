"""Login and logout by browser, with a password or a one-time link.

Each login starts a new session and ends that of the browser, so that no one can plant a session in advance. A cookie binds the form to
the browser that loaded it.
"""

import asyncio
import secrets
from typing import Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from radar_assets.access.roles import Principal
from radar_assets.api.actions import note
from radar_assets.api.identity import COOKIE, Identities, identity_of
from radar_assets.api.pages import page
from radar_assets.api.routing import RadarRoute, form_field, has_form_token, is_same

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


def login_routes(logins: Logins, identities: Identities) -> list[RadarRoute]:
    """The routes of login and logout."""

    async def show(request: Request) -> Response:
        return _form(request, identities, own_path(request.query_params.get("next", "")))

    async def log_in(request: Request) -> Response:
        name, target = await form_field(request, "name"), own_path(await form_field(request, "next"))
        bound = request.cookies.get(identities.cookie_name(request, FORM_COOKIE), "")
        if not is_same(await form_field(request, "form_token"), bound):
            return _form(request, identities, target, name, 403, "The form has expired. Try again.")
        address = request.client.host if request.client else ""
        record = request.app.state.record
        try:
            found = await asyncio.to_thread(logins.log_in, name, await form_field(request, "password"), address)
        except LoginRefusedError as error:
            await note(record, request, None, "login", name, result="refused")
            return _form(request, identities, target, name, error.status, str(error))
        return await begin(request, found, target)

    async def follow(request: Request) -> Response:
        found = None
        if request.method == "GET":  # programs that preview links send HEAD
            found = await asyncio.to_thread(logins.redeem, request.query_params.get("secret", ""))
        if found is None:
            problem = "The link was used before or has expired. Log in, or make another one with radar user link."
            return _form(request, identities, HOME, status=403, problem=problem)
        return await begin(request, found, own_path(request.query_params.get("next", "")))

    async def begin(request: Request, found: tuple[str, Principal], target: str) -> Response:
        secret, principal = found
        if before := request.cookies.get(identities.cookie_name(request)):
            await asyncio.to_thread(logins.log_out, before)
        await note(request.app.state.record, request, principal, "login", principal.name)
        response = _redirect(target)
        _set_cookie(response, request, identities, COOKIE, secret)
        response.delete_cookie(identities.cookie_name(request, FORM_COOKIE))
        return response

    async def log_out(request: Request) -> Response:
        identity = identity_of(request.scope)
        response = _redirect("/login")
        if identity and identity.way == "cookie":
            if not await has_form_token(request, identity):
                return page(
                    request, "message.html", identity, 403, title="Not logged out", message="Load the page again."
                )
            await asyncio.to_thread(logins.log_out, identity.secret)
            await note(request.app.state.record, request, identity.principal, "logout", identity.principal.name)
        response.delete_cookie(
            identities.cookie_name(request), secure=identities.is_secure(request), httponly=True, samesite="lax"
        )
        return response

    return [
        RadarRoute("GET", "/login", show, None),
        RadarRoute("POST", "/login", log_in, None),
        RadarRoute("GET", "/login/link", follow, None),
        RadarRoute("POST", "/logout", log_out, None),
    ]


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


def _form(
    request: Request, identities: Identities, target: str, name: str = "", status: int = 200, problem: str = ""
) -> Response:
    token = secrets.token_urlsafe(32)
    response = page(
        request, "login.html", status=status, title="Log in", form_token=token, next=target, name=name, problem=problem
    )
    _set_cookie(response, request, identities, FORM_COOKIE, token)
    return response


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
