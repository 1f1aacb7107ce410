"""CORS: web pages can read responses to events and live numbers, but nothing that is for operators."""

import pytest

from radar_assets.access.keys import create_key
from radar_assets_tests.collector.conftest import Collector

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}
ORIGIN = {"Origin": "https://shop.example"}
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


def test_pages_can_send_events_and_read_every_response(shared: Collector) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = shared.request("OPTIONS", "/v1/events", headers=asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    for reply in (preflight, shared.send(EVENT, **origin), shared.request("POST", "/v1/events", b"", origin)):
        assert reply.headers["access-control-allow-origin"] == "https://shop.example"
        assert reply.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/openapi.json"])
def test_pages_can_not_read_routes_for_operators(shared: Collector, path: str) -> None:
    reply = shared.request("GET", path, headers={**ORIGIN, "Cookie": "session=operator"})
    assert reply.status == 200
    preflight = shared.request("OPTIONS", path, headers=PREFLIGHT)
    assert preflight.status == 405
    for headers in (reply.headers, preflight.headers):
        assert not [name for name in headers if name.startswith("access-control-")]


def test_pages_can_read_live_numbers_the_script_and_unknown_path_errors(shared: Collector) -> None:
    key = create_key(shared.store, "shop", "read", origins=["https://shop.example"])
    assert shared.request("OPTIONS", "/v1/live", headers=PREFLIGHT).status == 200
    for path, status in ((f"/v1/live?key={key}", 200), ("/v1/live", 401), ("/radar.js", 200), ("/nothing", 404)):
        reply = shared.request("GET", path, headers=ORIGIN)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (status, "https://shop.example")
