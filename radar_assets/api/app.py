"""The web application of `radar serve`: one port for Radar's own pages, its API, and the Dagster UI.

Radar's own routes are `/`, `/login`, `/logout`, `/healthz`, `/readyz`, and all under `/radar/` and `/v1/`. Other paths are those of
the Dagster UI, such as `/runs` and `/graphql`. A request passes the guard, which looks at where it comes from. Then it is identified,
and reaches a route that knows the role it needs, or the gate of the UI.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from radar_assets.api.actions import Record
from radar_assets.api.identity import SCOPE, Identities
from radar_assets.api.pages import page, refresh_script, style, wants_page
from radar_assets.api.problems import problem
from radar_assets.api.routing import RadarRoute
from radar_assets.api.ui_gate import UIGate
from radar_assets.operations.health.probes import Probe, Result, run_probes
from radar_assets.operations.health.storage import check_database
from radar_assets.store.database import Store

OWN = ("/", "/login", "/logout", "/healthz", "/readyz", "/radar", "/v1")
OWN_FOLDERS = ("/login/", "/radar/", "/v1/")
READY_WITHIN_S = 3.0
"""How long `/readyz` waits for the database."""


class RadarApp:
    """Routes requests to Radar's own application and to the gate of the Dagster UI, once they are identified.

    Attributes:
        own: Radar's own application.
    """

    def __init__(
        self, ui: ASGIApp, identities: Identities, record: Record, routes: Sequence[RadarRoute], instance_id: str = ""
    ) -> None:
        """
        Args:
            ui: the Dagster UI.
            routes: Radar's routes besides those that every server has.
            instance_id: id of the Dagster instance, by which `radar apply` recognises the UI of a home.
        """
        self._identities = identities
        self._gate = UIGate(ui, identities.find, record)
        self.own = Starlette(routes=[*_basic_routes(), *routes], exception_handlers={HTTPException: _error})
        self.own.router.redirect_slashes = False
        self.own.state.record, self.own.state.instance_id = record, instance_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.own(scope, receive, send)
            return
        scope[SCOPE] = await self._identities.find(HTTPConnection(scope))
        is_own = scope["type"] == "http" and is_own_path(scope["path"])
        await (self.own if is_own else self._gate)(scope, receive, send)


def is_own_path(path: str) -> bool:
    """Whether a path is Radar's, not the Dagster UI's."""
    return path in OWN or path.startswith(OWN_FOLDERS)


def _basic_routes() -> list[RadarRoute]:
    async def first(_request: Request) -> Response:
        return RedirectResponse("/radar/jobs", 303)

    async def is_up(_request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    return [
        RadarRoute("GET", "/", first, None),
        RadarRoute("GET", "/radar", first, None),
        RadarRoute("GET", "/radar/style.css", style, None),
        RadarRoute("GET", "/radar/refresh.js", refresh_script, None),
        RadarRoute("GET", "/healthz", is_up, None),
    ]


def ready_route(store: Store) -> RadarRoute:
    """The public route that says whether the server can do its work."""

    # The check of health itself, so that both agree. Its detail may name hosts, and the route is public.
    database = Probe("database", partial(check_database, store), READY_WITHIN_S)
    lock, latest = asyncio.Lock(), list[tuple[float, Result]]()

    async def check() -> Result:
        """Check one at a time. Requests that come meanwhile share the next check, since anyone may send any number of them."""
        asked_at = time.monotonic()
        async with lock:
            if not latest or latest[0][0] < asked_at:
                began_at = time.monotonic()
                (found,) = await asyncio.to_thread(run_probes, [database])
                latest[:] = [(began_at, found)]
            return latest[0][1]

    async def is_ready(_request: Request) -> Response:
        found = await check()
        if found.ok:
            return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
        return problem(503, f"The {found.component} is unavailable.", headers={"Retry-After": "5"})

    return RadarRoute("GET", "/readyz", is_ready, None)


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    reason = "There is no such page." if error.status_code == 404 else error.detail
    if request.url.path.startswith("/v1") or not wants_page(request):
        return problem(error.status_code, reason, headers=headers)
    return page(request, "message.html", request.scope.get(SCOPE), error.status_code, title="Error", message=reason)
