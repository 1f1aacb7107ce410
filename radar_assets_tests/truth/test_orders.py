"""Orders, refunds and names of events, from requests to metrics."""

import base64
import json
from pathlib import Path
from typing import Any

from radar_assets.config import load_declarations
from radar_assets.settings import Settings
from radar_assets_tests.truth.traffic import Traffic, received, requests_of

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
METRICS = ("orders", "conversions", "revenue", "refunds", "net_revenue")


def money(traffic: Traffic, date: str = "2026-11-29") -> tuple[float | None, ...]:
    return tuple(traffic.day(metric, date) for metric in METRICS)


def segment(project: str, *events: tuple[str, str, dict[str, Any]], clock: str | None = None) -> dict[str, Any]:
    """A batch of Segment's SDK: time, name and properties of each event."""
    batch = [
        {
            "type": "track",
            "messageId": f"{clock}-{index}",
            "anonymousId": "v-1",
            "event": name,
            "timestamp": time,
            "properties": properties,
            "context": {"userAgent": CHROME},
        }
        for index, (time, name, properties) in enumerate(events)
    ]
    key = base64.b64encode(f"key-{project}:".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {key}"}
    return {"clock": clock, "method": "POST", "path": "/v1/batch", "headers": headers, "body": {"batch": batch}}


def test_one_order_with_its_checkout_reload_and_refund(settings: Settings) -> None:
    with received(settings, requests_of("revenue-of-one-order"), "revenue-of-one-order") as traffic:
        assert money(traffic) == (1, 1, 25, 25, 0)
        assert traffic.rows("select event, order_id, order_event, revenue, refund from events order by event_time") == [
            ("Checkout Started", None, None, None, None),
            ("Order Completed", "50314b8e", "purchase", 25, None),
            ("Order Completed", "50314b8e", None, None, None),
            ("Order Refunded", "50314b8e", "refund", None, 25),
        ]
        hourly = "select sum(value) from hourly_metrics where metric = '{}'"
        assert tuple(traffic.rows(hourly.format(metric))[0][0] for metric in METRICS) == (1, 1, 25, 25, 0)


def test_a_day_of_a_shop(settings: Settings, tmp_path: Path) -> None:
    """Every protocol's purchases, texts as amounts, names of the team's own: worked out by hand.

    | event | orders | conversions | revenue | refunds |
    | --- | --- | --- | --- | --- |
    | purchase A "$19.99", reported by shop and page | 1 | 1 | 19.99 | |
    | OrderCompleted B "1.299,00 EUR" | 1 | 1 | 1299.00 | |
    | purchase C "1,299": unreadable | 1 | 1 | | |
    | two purchases of 5 without a usable id | 2 | 2 | 10.00 | |
    | Spende of 7, which the team counts as a purchase | 1 | 1 | 7.00 | |
    | order_placed of 8, which the team doesn't count | | | | |
    | trial.started: a conversion of the team | | 1 | | |
    | invoice_paid of 9: not a purchase | | | | |
    | refund of a part of B "299,00" | | | | 299.00 |
    | order canceled A, without an amount | | | | |
    | total | 6 | 7 | 1335.99 | 299.00 |
    """
    file = settings.config_file
    names = {"Spende": "purchase", "Order Placed": "nothing", "TrialStarted": "conversion"}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"event_names": [{"name": n, "counts_as": m} for n, m in names.items()]}))
    assert len(load_declarations(file).event_names) == 3
    day = "2026-11-29T"
    requests = [
        segment(
            "shop",
            (f"{day}09:00:00Z", "purchase", {"transaction_id": "A", "value": "$19.99"}),
            (f"{day}09:05:00Z", "OrderCompleted", {"order_id": "B", "revenue": "1.299,00 EUR"}),
            (f"{day}09:06:00Z", "purchase", {"order_id": "C", "revenue": "1,299"}),
            (f"{day}09:07:00Z", "purchase", {"order_id": "undefined", "revenue": 5}),
            (f"{day}09:08:00Z", "purchase", {"order_id": "undefined", "revenue": 5}),
            (f"{day}09:09:00Z", "spende", {"revenue": 7}),
            (f"{day}09:10:00Z", "order_placed", {"order_id": "D", "revenue": 8}),
            (f"{day}09:11:00Z", "trial.started", {"revenue": 8}),
            (f"{day}10:00:00Z", "Order Refunded", {"order_id": "B", "total": "299,00"}),
            (f"{day}10:01:00Z", "order canceled", {"order_id": "A"}),
            clock="2026-11-29 12:00:00",
        ),
        {
            "clock": "2026-11-29 12:01:00",
            "method": "POST",
            "path": "/v1/events",
            "headers": {"Authorization": "Bearer key-shop"},
            "body": [
                {
                    "event": "order.completed",
                    "user_id": "u-1",
                    "timestamp": f"{day}09:00:30Z",
                    "properties": {"orderId": "A", "revenue": 19.99},
                },
                {
                    "event": "invoice_paid",
                    "user_id": "u-2",
                    "timestamp": f"{day}03:00:00Z",
                    "properties": {"revenue": 9},
                },
            ],
        },
    ]
    with received(settings, requests, "shop") as traffic:
        assert money(traffic) == (6, 7, 1335.99, 299, 1036.99)
        assert traffic.rows("select event, warnings from events where warnings is not null order by event_time") == [
            ("purchase", "revenue: unreadable amount"),
            ("purchase", "order_id: placeholder"),
            ("purchase", "order_id: placeholder"),
        ]
        assert traffic.rows("select cast(sum(revenue) as varchar), sum(orders) from sessions") == [("1335.9900", 6)]


def test_a_confirmation_opened_again_days_later_is_the_same_order(settings: Settings) -> None:
    order = {"order_id": "A", "revenue": 20}
    requests = [
        segment("shop", (f"2026-11-{day}T{day}:00:00Z", "purchase", order), clock=f"2026-11-{day} {day}:00:05")
        for day in (12, 13, 15, 23)
    ]
    with received(settings, requests, "shop") as traffic:
        assert [traffic.day("revenue", f"2026-11-{day}") for day in (12, 13, 15, 23)] == [20, 0, 0, 20]
