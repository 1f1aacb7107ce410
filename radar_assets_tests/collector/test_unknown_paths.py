"""Requests of unsupported SDKs: the response lists the supported ones, and operators see the requests."""

import logging

import pytest

from radar_assets.collector.doors import DOORS
from radar_assets.collector.unknown_paths import SUPPORTED, product_of
from radar_assets.settings import Settings
from radar_assets_tests.collector.conftest import Collector, serving

ASKED = {
    "mixpanel": [
        "POST /track?verbose=1&ip=0",
        "POST /track/",
        "POST /engage/",
        "POST /groups/",
        "POST /import?strict=1",
    ],
    "amplitude": ["POST /2/httpapi", "POST /identify", "POST /groupidentify"],
    "openpanel": ["POST /profile", "POST /api/track", "GET /op1.js"],
    "matomo": ["GET /matomo.php?idsite=1&rec=1", "POST /stats/matomo.php", "GET /piwik.js"],
    "ga4": ["POST /g/collect?v=2", "POST /mp/collect?measurement_id=1", "POST /debug/mp/collect", "GET /gtag/js?id=1"],
    "countly": ["POST /i?app_key=1", "POST /i/bulk", "GET /o/sdk?method=rc"],
    "other": ["GET /nothing", "POST /v1/events/", "POST /collect/me", "GET /track.php", "POST /" + "x" * 5_000],
}
"""Requests of SDKs of other products, by their documentation."""


def _ask(collector: Collector, asked: str) -> int:
    method, path = asked.split(" ")
    body = b'{"some":"body"}' if method == "POST" else None
    reply = collector.request(method, path, body, {"Cookie": "a", "Authorization": "Bearer CANARY"})
    words = reply.json()
    for supported in ("Segment", "PostHog", "Snowplow", "Umami", "Plausible", "RudderStack", "radar.js"):
        assert supported in words["detail"]
    assert words["docs"] == "/openapi.json"
    assert len(reply.body) < 1_000
    return reply.status


def test_unknown_paths_get_the_supported_sdks_and_are_counted_and_logged_once_a_minute(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings) as collector, caplog.at_level(logging.WARNING):
        for product, asked in ASKED.items():
            for each in asked:
                assert _ask(collector, each) == (405 if each.startswith("POST /i?") else 404)
            figures = collector.request("GET", "/metrics").body.decode()
            assert f'radar_unknown_paths_total{{protocol="{product}"}} {len(asked)}.0' in figures
        assert figures.count("radar_unknown_paths_total{") == len(ASKED)
        assert collector.request("GET", "/v1/events").json()["error"] == "method_not_allowed"
        assert collector.request("GET", "/metrics").body.decode().count("unknown_paths_total{") == len(ASKED)
        assert collector.landed() == []
    logged = [vars(record)["fields"]["protocol"] for record in caplog.records if record.message == "unknown path"]
    assert logged == list(ASKED)
    assert "CANARY" not in caplog.text


def test_another_products_requests_to_a_doors_path_get_the_supported_sdks_and_are_counted(
    settings: Settings,
) -> None:
    amplitude = b'{"api_key":"K","events":[{"event_type":"seen","user_id":"ann"}]}'
    with serving(settings) as collector:
        replies = [
            collector.request("POST", "/batch", amplitude),
            collector.request("GET", "/i?app_key=K&device_id=d&begin_session=1"),
        ]
        for reply in replies:
            assert reply.status == 400
            assert b"are not supported. Supported SDKs: " in reply.body
        assert collector.request("POST", "/batch", b"{torn").status == 400
        figures = collector.request("GET", "/metrics").body.decode()
    for product in ("amplitude", "countly"):
        assert f'radar_unknown_paths_total{{protocol="{product}"}} 1.0' in figures


def test_openpanels_sdk_is_distinguished_from_mixpanels_by_its_header() -> None:
    assert product_of("/track", {"openpanel-client-id": "1"}) == "openpanel"
    assert product_of("/track", {}) == "mixpanel"


def test_the_response_names_every_door() -> None:
    assert all(door.name in SUPPORTED.lower() for door in DOORS)
