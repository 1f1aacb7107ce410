"""Unmodified SDKs from PyPI and npm, configured with host and key, against a running collector."""

import re
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from radar_assets.access.keys import create_key
from radar_assets.settings import Settings
from radar_assets_tests.collector.conftest import Collector, serving
from radar_assets_tests.collector.sdks import ORDER, SDKS, VISIT
from radar_assets_tests.platform import Platform

SITE = "94db1cb1-74f4-4a40-ad6c-962362670409"
TRAITS = {"traits": {"plan": "pro"}}
GROUP = {"group_id": "acme", "traits": {"size": 3}}
ANN, ANONYMOUS = {"user_id": "ann"}, {"anonymous_id": "a-1"}
BOTH = {**ANN, **ANONYMOUS, "session_id": "s-1"}
NAMED = {"name": "Basket", **VISIT}
START = {"name": "Start", "title": "Start"}


def _said(kind: str | None, properties: Mapping[str, Any], event: str | None = None, **fields: str) -> dict[str, Any]:
    return {"type": kind, "event": event, **fields, "properties": dict(properties)}


SEGMENT_PYTHON = [
    _said("identify", TRAITS, **ANN),
    _said("page", NAMED, category="Shop", **ANN),
    _said("screen", START, **ANN),
    _said("track", ORDER, "Order Completed", **ANN),
    _said("group", GROUP, **ANN),
    _said("alias", {"alias_id": "a-1"}, **ANN),
]
SEGMENT_NODE = [
    _said("identify", TRAITS, **ANN),
    _said("page", NAMED, **ANONYMOUS),
    _said("track", ORDER, "Order Completed", **ANN),
    _said("group", GROUP, **ANN),
    _said("alias", {"alias_id": "a-1"}, **ANN),
]
POSTHOG_PAGE = {"$current_url": VISIT["url"], "title": VISIT["title"]}
# The id of a group event is generated; which id of an alias is the user's depends on the SDK.
POSTHOG_GROUP = _said("group", {"$group_key": "acme", "$group_set": {"size": 3}}, anonymous_id="$group:company:acme")
SNOWPLOW = [
    _said("page", {**VISIT, "referrer": "https://www.google.com/"}, **BOTH),
    _said("track", {"y_max": 900}, "page_ping", **BOTH),
    _said("track", {"value": 2}, "add", category="shop", **BOTH),
    _said("track", ORDER, "order_completed", **BOTH),
]
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "segment-python": SEGMENT_PYTHON,
    "segment-node": SEGMENT_NODE,
    "rudder-python": SEGMENT_PYTHON,
    "rudder-node": [*SEGMENT_NODE[:2], _said("screen", START, **ANONYMOUS), *SEGMENT_NODE[2:]],
    "posthog-python": [
        _said("page", POSTHOG_PAGE, **ANN, session_id="s-1"),
        _said(None, ORDER, "Order Completed", **ANN),
        _said("identify", {"$set": {"plan": "pro"}}, **ANN),
        POSTHOG_GROUP,
        _said("alias", {"alias_id": "ann"}, anonymous_id="a-1"),
    ],
    "posthog-node": [
        _said("page", POSTHOG_PAGE, **ANN),
        _said(None, ORDER, "Order Completed", **ANN),
        _said("identify", {"$set": {"plan": "pro"}}, **ANN),
        POSTHOG_GROUP,
        _said("alias", {"alias_id": "a-1"}, anonymous_id="ann"),
    ],
    "snowplow-python": SNOWPLOW,
    "snowplow-python-pixel": SNOWPLOW,
    "snowplow-node": SNOWPLOW,
    "umami-node": [
        _said("page", VISIT),
        _said("track", ORDER, "Order Completed"),
        _said("identify", TRAITS),
    ],
}
PROTOCOLS = {"segment": "segment", "rudder": "segment", "posthog": "posthog", "snowplow": "snowplow", "umami": "umami"}


def _send(collector: Collector, sdk: str) -> None:
    SDKS[sdk](collector.url, SITE if sdk == "umami-node" else collector.keys["shop"])


def _give_site_key(collector: Collector) -> None:
    """Umami's websites have UUIDs, which its SDK sends as they are."""
    create_key(collector.store, "shop", value=SITE)


@pytest.mark.parametrize("sdk", SDKS)
def test_events_of_an_sdk_land_with_their_fields(collector: Collector, sdk: str) -> None:
    _give_site_key(collector)
    _send(collector, sdk)
    landed, expected = collector.events(), EXPECTED[sdk]
    assert [_fields(line, said) for line, said in zip(landed, expected, strict=True)] == expected
    assert len({line["event_id"] for line in landed}) == len(landed)
    for line in landed:
        assert (line["project_id"], line["protocol"]) == ("shop", PROTOCOLS[sdk.partition("-")[0]])
        received = datetime.fromisoformat(line["received_at"])
        assert abs(received - datetime.now(UTC)) < timedelta(minutes=10)
        assert abs(datetime.fromisoformat(line["timestamp"]) - received) < timedelta(minutes=10)
        assert "sent_at" in line or sdk == "umami-node"
    if sdk == "umami-node":
        assert len({line["anonymous_id"] for line in landed}) == 1
        assert re.fullmatch("[0-9a-f]{32}", landed[0]["anonymous_id"])
        assert landed[0]["context"]["screen"] == {"width": 1920, "height": 1080}


def _fields(line: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The user, the event, and the properties of the test; SDKs add their own."""
    names = ("type", "event", "category", "user_id", "anonymous_id", "session_id")
    made_up = "anonymous_id" if line["protocol"] == "umami" else None
    fields = {name: line[name] for name in names if name in line and name != made_up}
    properties = {name: line["properties"].get(name) for name in said["properties"]}
    return {"type": None, "event": None, **fields, "properties": properties}


def test_events_of_all_sdks_reach_the_hourly_metrics(settings: Settings, tmp_path: Path) -> None:
    with serving(settings) as collector:
        _give_site_key(collector)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(partial(_send, collector), SDKS))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        platform = Platform(settings, instance)
        for sensor in ("landing_sensor", "stale_hours_sensor"):
            for request in platform.tick(sensor):
                platform.execute("hourly_job", request)
        assert platform.rows("rejected_events") == []
        metrics: dict[str, float] = defaultdict(float)
        for row in platform.rows("hourly_metrics"):
            metrics[row["metric"]] += row["value"]
        events = platform.rows("events")
        assert len(events) == sum(map(len, EXPECTED.values()))
        assert metrics["events"] == sum(not event["is_bot"] for event in events)
        assert metrics["page_views"] == len(SDKS)
        assert metrics["conversions"] == 1, "one order, which all SDKs report"
        assert metrics["revenue"] == pytest.approx(ORDER["revenue"])
        pages = platform.rows(
            "events", "select distinct url, title, utm_source, is_bot from {table} where type = 'page'"
        )
        assert pages == [{**VISIT, "utm_source": "news", "is_bot": False}]
        assert {row["user_id"] for row in platform.rows("events")} == {"ann", None}
