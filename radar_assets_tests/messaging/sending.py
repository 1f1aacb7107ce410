"""Channels for tests: webhooks to endpoints on this machine."""

from collections.abc import Mapping
from datetime import datetime

from radar_assets.alerts.notices import KIND, Notice
from radar_assets.alerts.rendering import render, thread_id
from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.deliverer import Send, rendering
from radar_assets.messaging.outbox import new_delivery
from radar_assets.store.database import Store
from radar_assets_tests.alerts.records import at

KEY = "whsec_" + "A" * 32
HOSTS = ("127.0.0.1",)


def webhook(url: str, name: str = "hook") -> dict[str, object]:
    """A channel as stored."""
    return {"name": name, "type": "webhook", "url": url, "secrets": [KEY]}


def channels(urls: Mapping[str, str]) -> dict[str, ChannelSpec]:
    """Channels by name, given their endpoints."""
    return {name: parse_channel(webhook(url, name), HOSTS) for name, url in urls.items()}


def sending(timeout_s: float) -> Send[ChannelSpec]:
    """Sends as the platform does, with the test's time limit."""
    return rendering({KIND: render}, Transport(HOSTS, timeout_s=timeout_s))


send = sending(timeout_s=30)


def notice(alert: str = "1", **fields: object) -> Notice:
    """A notice of an alert on the errors of the project `shop`."""
    given = {"reason": "fired", "rule": "errors_high", "kind": "threshold", "severity": "high", "project_id": "shop"}
    times = {"started_at": at(8), "window_start": at(8), "window_end": at(9)}
    return Notice.model_validate({**given, **times, "alert_id": alert, "value": 50, "threshold": 10, **fields})


def put(store: Store, channel: str, *alerts: str, now: datetime, reason: str = "fired") -> list[str]:
    """Put an announcement of each alert into the outbox. Returns the ids of the rows."""
    rows = [
        new_delivery(
            KIND,
            channel,
            f"{alert:0>36}:{reason}",
            "high",
            "t",
            [notice(alert, reason=reason).model_dump(mode="json")],
            now,
            thread_id=thread_id(alert),
        )
        for alert in alerts
    ]
    with store.session() as session:
        session.add_all(rows)
    return [row.id for row in rows]
