"""Login and logout by browser, with a password, a one-time link, or at an OpenID provider.

Each login starts a new session and ends that of the browser, so that no one can plant a session in advance. A cookie binds the form to
the browser that loaded it.
"""

import asyncio
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from radar_assets.access.roles import Principal
from radar_assets.api.accounts import Accounts, LoginRefusedError
from radar_assets.api.actions import note
from radar_assets.api.identity import COOKIE, Identities, identity_of
from radar_assets.api.oidc import CALLBACK, FLOW_S, OidcLogin
from radar_assets.api.pages import page
from radar_assets.api.routing import RadarRoute, form_field, has_form_token, is_same

FORM_COOKIE = "radar_login"
OIDC_COOKIE = "radar_oidc"
HOME = "/radar/jobs"


def login_routes(identities: Identities, accounts: Accounts, oidc: OidcLogin | None = None) -> list[RadarRoute]:
    """The routes of login and logout."""
    pages = _LoginPages(identities, accounts, oidc)
    elsewhere = [
        RadarRoute("GET", "/login/oidc", pages.begin_elsewhere, None),
        RadarRoute("GET", CALLBACK, pages.finish_elsewhere, None),
    ]
    return [
        *(elsewhere if oidc else []),
        RadarRoute("GET", "/login", pages.show, None),
        RadarRoute("POST", "/login", pages.log_in, None),
        RadarRoute("GET", "/login/link", pages.follow, None),
        RadarRoute("POST", "/logout", pages.log_out, None),
    ]


@dataclass(frozen=True)
class _LoginPages:
    """The functions of the routes; arguments as of `login_routes`."""

    identities: Identities
    accounts: Accounts
    oidc: OidcLogin | None

    async def show(self, request: Request) -> Response:
        return await self._form(request, own_path(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        name, target = await form_field(request, "name"), own_path(await form_field(request, "next"))
        bound = request.cookies.get(self.identities.cookie_name(request, FORM_COOKIE), "")
        if not is_same(await form_field(request, "form_token"), bound):
            return await self._form(request, target, name, 403, "The form has expired. Try again.")
        address = request.client.host if request.client else ""
        password = await form_field(request, "password")
        try:
            found = await asyncio.to_thread(self.accounts.log_in, name, password, address)
        except LoginRefusedError as error:
            await note(request.app.state.record, request, None, "login", name, result="refused")
            response = await self._form(request, target, name, error.status, str(error))
            if error.wait_s:
                response.headers["Retry-After"] = str(error.wait_s)
            return response
        return await self._begun(request, found, target)

    async def follow(self, request: Request) -> Response:
        """Log in by a one-time link."""
        try:
            # Programs that preview links send HEAD, which must not use them up.
            secret = request.query_params.get("secret", "") if request.method == "GET" else ""
            found = await asyncio.to_thread(self.accounts.redeem, secret)
        except LoginRefusedError as error:
            await note(request.app.state.record, request, None, "login by link", result="refused")
            return await self._form(request, HOME, status=error.status, problem=str(error))
        return await self._begun(request, found, own_path(request.query_params.get("next", "")))

    async def begin_elsewhere(self, request: Request) -> Response:
        """Send the browser to the OpenID provider."""
        assert self.oidc
        target = own_path(request.query_params.get("next", ""))
        here, public = request.headers.get("host", "").lower(), urlsplit(self.oidc.public).netloc.lower()
        # The provider sends the browser to the public address, so the cookie must be that of its host. Once only: behind a proxy
        # that changes Host, both look different for ever.
        if here != public and "moved" not in request.query_params:
            return _redirect(f"{self.oidc.public}/login/oidc?{urlencode({'next': target, 'moved': '1'})}")
        try:
            url, cookie = await asyncio.to_thread(self.oidc.begin, target)
        except LoginRefusedError as error:
            return await self._refused_elsewhere(request, error)
        response = _redirect(url)
        _set_cookie(response, request, self.identities, OIDC_COOKIE, cookie, FLOW_S)
        return response

    async def finish_elsewhere(self, request: Request) -> Response:
        """Log in whom the OpenID provider has identified."""
        assert self.oidc
        name = self.identities.cookie_name(request, OIDC_COOKIE)
        address = request.client.host if request.client else ""
        try:
            # As with links, HEAD changes nothing.
            query = dict(request.query_params) if request.method == "GET" else {}
            person, target = await asyncio.to_thread(self.oidc.finish, query, request.cookies.get(name, ""))
            found = await asyncio.to_thread(self.accounts.log_in_elsewhere, person, address)
        except LoginRefusedError as error:
            response = await self._refused_elsewhere(request, error)
        else:
            response = await self._begun(request, found, own_path(target), way="oidc")
        response.delete_cookie(name, secure=self.identities.is_secure(request), httponly=True, samesite="lax")
        return response

    async def _refused_elsewhere(self, request: Request, error: LoginRefusedError) -> Response:
        await note(request.app.state.record, request, None, "login", result="refused", way="oidc", reason=str(error))
        response = await self._form(request, HOME, status=error.status, problem=str(error))
        if error.wait_s:
            response.headers["Retry-After"] = str(error.wait_s)
        return response

    async def log_out(self, request: Request) -> Response:
        identity = identity_of(request.scope)
        response = _redirect("/login")
        if identity and identity.way == "cookie":
            if not await has_form_token(request, identity):
                reason = "Load the page again."
                return page(request, "message.html", identity, 403, title="Not logged out", message=reason)
            await asyncio.to_thread(self.accounts.log_out, identity.secret)
            await note(request.app.state.record, request, identity.principal, "logout", identity.principal.name)
        is_secure = self.identities.is_secure(request)
        response.delete_cookie(self.identities.cookie_name(request), secure=is_secure, httponly=True, samesite="lax")
        return response

    async def _begun(self, request: Request, found: tuple[str, Principal], target: str, **details: str) -> Response:
        """The response that begins a session; details are for the audit log."""
        secret, principal = found
        if before := request.cookies.get(self.identities.cookie_name(request)):
            await asyncio.to_thread(self.accounts.log_out, before)
        await note(request.app.state.record, request, principal, "login", principal.name, **details)
        response = _redirect(target)
        _set_cookie(response, request, self.identities, COOKIE, secret)
        response.delete_cookie(
            self.identities.cookie_name(request, FORM_COOKIE), secure=self.identities.is_secure(request)
        )
        return response

    async def _form(
        self, request: Request, target: str, name: str = "", status: int = 200, problem: str = ""
    ) -> Response:
        token = secrets.token_urlsafe(32)
        response = page(
            request,
            "login.html",
            status=status,
            title="Log in",
            has_users=await asyncio.to_thread(self.accounts.has_users),
            form_token=token,
            next=target,
            name=name,
            problem=problem,
            oidc_name=self.oidc.provider.name if self.oidc else "",
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


def _set_cookie(
    response: Response, request: Request, identities: Identities, name: str, value: str, max_age: int | None = None
) -> None:
    response.set_cookie(
        identities.cookie_name(request, name),
        value,
        max_age,
        path="/",
        secure=identities.is_secure(request),
        httponly=True,
        # Not strict: links in mails open pages of the UI.
        samesite="lax",
    )


def _redirect(target: str) -> RedirectResponse:
    return RedirectResponse(target, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
