"""The guard in front of the Dagster UI: it prevents other web pages from controlling or reading the UI through a user's browser.

It checks where requests come from. Users and what they may do are checked behind it, in `app.py`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radar_assets.api.problems import problem
from radar_assets.orchestration.settings import UISettings
from radar_assets.origins import DEFAULT_PORTS, Origin, origin_of_url, parse_origin
from radar_assets.urls import LOOPBACK_HOSTS

_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
SECURITY_HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FRAMING = "frame-ancestors 'none'"
FORM = "application/x-www-form-urlencoded"
FORM_PATHS = ("/login", "/logout")
FORM_FOLDER = "/radar/"


@dataclass(frozen=True)
class Refusal:
    """Status and reason of a refused request, and the header that is wrong."""

    status: int
    reason: str
    field: str = ""


class Guard:
    """Accepts requests of the UI's own pages and of programs, and refuses every request that a page of another site can cause.

    - `Host` must be in the allow-list. This stops DNS rebinding, with status 421.
    - `Origin`, if present, must be the UI's, and `Sec-Fetch-Site` must agree. Links to the UI, for example in alerts, still work.
    - State changes only by POST of `application/json`. Browsers send that across origins only after a preflight request, which is
      refused. GraphQL is never read from the URL. Radar's own pages have forms, which must also contain a token of their session.
    - No page may frame the UI.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[Origin] = ()) -> None:
        """Guard an application.

        Args:
            hosts: accepted host names and addresses, in lower case.
            origins: accepted origins besides that of the request's `Host`, such as the origin of a TLS proxy.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                # In addition to the application's own policy. Browsers enforce both.
                headers.append("Content-Security-Policy", FRAMING)
            await send(message)

        if refusal := self._refusal(scope):
            is_api = scope["path"].startswith("/v1/")
            response = (
                problem(refusal.status, refusal.reason, field=refusal.field)
                if is_api
                else JSONResponse({"error": refusal.reason}, refusal.status)
            )
            await response(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        name = (host["address"] or host["name"]).lower() if host else ""
        if not host or name not in self._hosts:
            return Refusal(
                421,
                f"Unknown host {name or '(none)'}. If that is the address of the UI, "
                "set RADAR_UI_URL to the URL in the address bar and restart it.",
            )
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        own = Origin(scheme, name, int(host["port"] or DEFAULT_PORTS[scheme]))
        return self._foreign(scope, headers, own) or (self._unsafe(scope, headers) if scope["type"] == "http" else None)

    def _foreign(self, scope: Scope, headers: Headers, own: Origin) -> Refusal | None:
        """The refusal of a request from a page of another origin."""
        allowed = {own, *self._origins}
        if any(parse_origin(origin) not in allowed for origin in headers.getlist("origin")):
            return Refusal(
                403,
                "The request comes from a page of another origin. If that page is the UI, "
                "set RADAR_UI_URL to the URL in the address bar and restart it.",
            )
        # "same-site" is not enough: all ports of localhost are one site.
        if all(site in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
            return None
        if (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        ):
            return None  # a followed link: the linking page can neither read nor frame the page that opens
        return Refusal(403, "Pages of other origins may link to the UI, but not embed it or send requests to it.")

    def _unsafe(self, scope: Scope, headers: Headers) -> Refusal | None:
        """The refusal of a request that may change state and that a page of another origin could send."""
        if scope["method"] in ("GET", "HEAD"):
            if scope["path"].rstrip("/") == "/graphql" and scope["query_string"]:
                return Refusal(403, "GraphQL in the URL is not supported; send it by POST as application/json.")
            return None
        if scope["method"] != "POST":
            return Refusal(403, "Only GET, HEAD and POST are allowed.")
        types = [value.partition(";")[0].strip().lower() for value in headers.getlist("content-type")]
        is_form = scope["path"] in FORM_PATHS or scope["path"].startswith(FORM_FOLDER)
        if is_form and types == [FORM]:
            return None
        if types != ["application/json"]:
            return Refusal(415, "Send the request as JSON, with Content-Type: application/json.", "Content-Type")
        return None


def guarded(app: ASGIApp, settings: UISettings, host: str) -> Guard:
    """Put the guard in front of the UI.

    Args:
        host: address that the UI listens on.
    """
    hosts, origins = {*LOOPBACK_HOSTS, host.lower()}, set()
    if settings.ui_url and (origin := origin_of_url(settings.ui_url)):
        hosts.add(origin.host)
        origins.add(origin)
    return Guard(app, hosts, origins)
