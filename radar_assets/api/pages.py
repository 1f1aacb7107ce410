"""Radar's own pages: their templates, and the headers that all of them have.

They work without scripts. The only one there is keeps a page current, and only pages that ask for it may load it.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from radar_assets.access.roles import Role
from radar_assets.api.identity import Identity

TEMPLATES = Path(__file__).with_name("templates")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not no-referrer, with which browsers send "Origin: null" with forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

MAY_REFRESH = "script-src 'self'; connect-src 'self'; "


def page(
    request: Request,
    template: str,
    identity: Identity | None = None,
    status: int = 200,
    *,
    refreshes: bool = False,
    **values: Any,
) -> HTMLResponse:
    """A page.

    Args:
        template: name of a file in the folder templates.
        identity: whom to greet, and whose forms these are.
        refreshes: whether it keeps itself current.
        values: for the template.
    """
    text = (
        _environment()
        .get_template(template)
        .render(
            identity=identity,
            may_run=identity is not None and identity.principal.may(Role.OPERATOR),
            instance_id=getattr(request.app.state, "instance_id", "") if "app" in request.scope else "",
            refreshes=refreshes,
            **values,
        )
    )
    policy = HEADERS["Content-Security-Policy"]
    headers = {**HEADERS, "Content-Security-Policy": MAY_REFRESH + policy} if refreshes else HEADERS
    return HTMLResponse(text, status, headers)


def forbidden_page(request: Request, reason: str, identity: Identity | None) -> HTMLResponse:
    """The page for a request that the role doesn't allow."""
    return page(request, "message.html", identity, 403, title="Not allowed", message=reason)


async def style(_request: Request) -> Response:
    """The style sheet."""
    return FileResponse(TEMPLATES / "radar.css", headers={"Cache-Control": "no-cache"}, media_type="text/css")


async def refresh_script(_request: Request) -> Response:
    """The script that keeps a page current."""
    return FileResponse(TEMPLATES / "refresh.js", headers={"Cache-Control": "no-cache"}, media_type="text/javascript")


def wants_page(request: Request) -> bool:
    """Whether a person would see the response, unlike that to a program or a script."""
    return "text/html" in request.headers.get("accept", "")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
