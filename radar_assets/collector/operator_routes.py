"""Routes that take no events: health, metrics, live numbers, `radar.js` and the OpenAPI document."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from radar_assets.access.keys import KeysError, key_problem
from radar_assets.collector.door import Door
from radar_assets.collector.openapi import describe
from radar_assets.events.placeholders import NO_PERSON_ID, in_javascript
from radar_assets.origins import parse_origin

if TYPE_CHECKING:
    from radar_assets.collector.worker import Worker

_SCRIPT = Path(__file__).parent / "radar.js"
_COMMENTS = re.compile(r"^ *//.*\n|^ +", re.MULTILINE)
"""Lines of the script, and spaces, that browsers need not load."""
_SCRIPT_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}
MAX_TOP = 100
PRIVATE = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})
"""Paths for operators and monitoring, which web pages can't read."""


def operator_routes(doors: Sequence[Door]) -> list[Route]:
    """The routes that no door has."""
    document = msgspec.json.encode(describe(doors))
    text = _COMMENTS.sub("", _SCRIPT.read_text(encoding="utf-8"))
    script = text.replace("NO_PERSON_ID", in_javascript(NO_PERSON_ID)).encode()
    packed = gzip.compress(script, mtime=0)
    tag = f'"{hashlib.sha256(script).hexdigest()[:16]}"'

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def radar_js(request: Request) -> Response:
        headers = {**_SCRIPT_HEADERS, "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type="text/javascript")
        return Response(script, headers=headers, media_type="text/javascript")

    return [
        Route("/healthz", _health),
        Route("/readyz", _ready),
        Route("/metrics", _metrics),
        Route("/v1/live", _live),
        Route("/radar.js", radar_js),
        Route("/openapi.json", openapi),
    ]


def _worker(request: Request) -> "Worker":
    return request.app.state.worker


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    problem = _worker(request).problem()
    return JSONResponse({"status": problem or "ok"}, status_code=503 if problem else 200)


async def _metrics(request: Request) -> Response:
    text, content_type = await asyncio.to_thread(_worker(request).telemetry.page)
    return Response(text, media_type=content_type)


async def _live(request: Request) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else request.query_params.get("key", "")
    worker = _worker(request)
    try:
        grant = await worker.keys.find(key, "read")
    except KeysError as error:
        return _refusal(503, str(error), {"Retry-After": "5"})
    if grant is None:
        return _refusal(401, key_problem(key, "read"), {"WWW-Authenticate": "Bearer"})
    if not grant.admits(parse_origin(request.headers.get("origin", ""))):
        return _refusal(401, "the key is not for this origin", {"WWW-Authenticate": "Bearer"})
    if request.query_params.get("project", grant.project_id) != grant.project_id:
        return _refusal(403, "project: the key is for another project")
    top = request.query_params.get("top", "10")
    if not (top.isascii() and top.isdecimal() and len(top) <= 3 and 1 <= int(top) <= MAX_TOP):
        return _refusal(400, f"top: must be 1 to {MAX_TOP}")
    try:
        loop = asyncio.get_running_loop()
        counts = await loop.run_in_executor(worker.live_thread, worker.live.read, grant.project_id, None, int(top))
    except OSError:
        return _refusal(503, "the landing zone can't be read", {"Retry-After": "5"})
    return Response(msgspec.json.encode(counts), media_type="application/json", headers={"Cache-Control": "no-store"})


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": detail}, status_code=status, headers=headers)
