"""Requests of unsupported SDKs: counted by product, and answered with the list of supported SDKs.

Without it, their users would see a bare 404 response, and operators nothing.
"""

import re
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_PATHS = {
    "amplitude": r"/(2/httpapi|httpapi|batch|identify|groupidentify|attribution|sessions/v2/track)",
    "countly": r"/(i|i/bulk|o|o/sdk)",
    "ga4": r"/(g/collect|j/collect|r/collect|collect|(debug/)?mp/collect|gtag/js|gtm\.js)",
    "matomo": r"(/.*)?/(matomo|piwik)\.(php|js)",
    "mixpanel": r"/(track|engage|groups|import|record)",
    "openpanel": r"/(api/)?(track|event|profile(/\w+)?)|/op1\.js",
}
_PRODUCTS = {product: re.compile(rf"(?:{paths})/?") for product, paths in _PATHS.items()}
"""Paths of unsupported SDKs; if two products share a path, the first one counts."""
_OPENPANEL = "openpanel-client-id"
"""A header of its SDKs, whose path is also Mixpanel's."""
OTHER = "other"
SUPPORTED = (
    "Segment, RudderStack, Jitsu, PostHog, Snowplow, Umami, Plausible, and Radar's own radar.js and POST /v1/events"
)


def hint(product: str) -> str:
    """Which SDKs are supported, and that those of a product are not."""
    of_whom = "" if product == OTHER else f" SDKs of {product} are not supported."
    return f"{of_whom} Supported SDKs: {SUPPORTED}."


def product_of(path: str, headers: Mapping[str, str]) -> str:
    """The product whose SDKs use a path; `OTHER` if unknown."""
    if _OPENPANEL in headers:
        return "openpanel"
    return next((product for product, paths in _PRODUCTS.items() if paths.fullmatch(path)), OTHER)


async def unknown_path(request: Request, error: Exception) -> Response:
    """The response to a request for an unknown path, or with a method that a path does not have."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (404, None)
    product = product_of(request.url.path, request.headers)
    # The wrong method on a known path is a mistake rather than another product, unless that product posts there.
    if status == 404 or product != OTHER:
        request.app.state.worker.telemetry.path_unknown(product)
    words = {
        "error": "unknown_path" if status == 404 else "method_not_allowed",
        "detail": f"The collector has no {request.method} for this path.{hint(product)}",
        "docs": "/openapi.json",
    }
    return Response(msgspec.json.encode(words), status, headers, "application/json")
