"""Requests of unmodified trackers, recorded in Chromium on a page that a search engine led to: `browsers/*.jsonl`.

They are @plausible-analytics/tracker 0.4.6, posthog-js 1.449.2, @segment/analytics-next 1.84.3 and @snowplow/browser-tracker
4.10.1. Each sends a page view, an order and, if it can express that, the user.
"""

import base64
import json
from decimal import Decimal
from pathlib import Path

from radar_assets.access.keys import create_key
from radar_assets.settings import Settings
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.collector.wire import enriched

RECORDED = Path(__file__).parent / "browsers"
SEEN = {
    "host": "localhost",
    "path": "/basket",
    "referrer_domain": "google.com",
    "utm_source": "news",
    "browser": "Chrome",
    "os": "Linux",
    "device_type": "desktop",
    "is_bot": False,
}
"""Present on each event, wherever its tracker puts it."""
KEYS = ("recorded-key", "web-shop", "shop.example")
PAGE, ORDER = ("page", "page_view"), ("track", "Order Completed")
IDENTITY = [("identify", "identify"), ("group", "group"), ("alias", "alias")]
EXPECTED: dict[str, list[tuple[str, str]]] = {
    "plausible": [PAGE, ORDER],
    "posthog": [PAGE, ORDER, *IDENTITY],
    "segment": [PAGE, ORDER, *IDENTITY],
    "snowplow": [PAGE, ("track", "add"), ("track", "order_completed"), ("track", "page_ping")],
}


def test_recorded_tracker_requests_give_the_columns_of_web_analytics(settings: Settings) -> None:
    with serving(settings) as collector:
        for key in KEYS:
            create_key(collector.store, "shop", value=key)
        for tracker in EXPECTED:
            for line in (RECORDED / f"{tracker}.jsonl").read_text().splitlines():
                sent = json.loads(line)
                body = base64.b64decode(sent["body"]) or None
                answer = collector.request(sent["method"], sent["path"], body, sent["headers"])
                assert answer.status in (200, 202), answer.body
    events = enriched(settings)
    assert sum(event["revenue"] or 0 for event in events) == Decimal("14.99"), "one order, which all trackers report"
    for tracker, expected in EXPECTED.items():
        found = [event for event in events if event["protocol"] == tracker]
        assert sorted((event["type"], event["event"]) for event in found) == sorted(expected)
        assert len({event["visitor_id"] for event in found}) == 1
        for event in found:
            seen = {name: event[name] for name in SEEN}
            assert seen == SEEN, (tracker, event["event"])
