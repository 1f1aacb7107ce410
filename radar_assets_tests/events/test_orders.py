"""Orders: which events count, which id they have, and what their amounts are; given rows, expected columns."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from radar_assets.events.orders import PLACEHOLDERS
from radar_assets.events.related_rows import NO_ORDERS
from radar_assets_tests.events.enriching import HOUR, NOON, enrich, enriched, raw_row

Line = tuple[str, dict[str, Any]]


def columns(lines: list[Line], *, step: timedelta = timedelta(minutes=1)) -> list[tuple[Any, ...]]:
    """The columns `order_event`, `order_id`, `revenue` and `refund` of events that arrive one after the other."""
    rows = [
        raw_row(
            properties,
            event=event,
            type="track",
            event_id=f"{index:04}",
            line_number=index,
            event_time=NOON - 10 * HOUR + index * step,
        )
        for index, (event, properties) in enumerate(lines)
    ]
    random.Random(len(rows)).shuffle(rows)
    found = sorted(enrich(rows), key=lambda row: row["event_id"])
    return [(row["order_event"], row["order_id"], row["revenue"], row["refund"]) for row in found]


def test_an_order_counts_once_whatever_reports_it() -> None:
    order = {"order_id": "7", "revenue": 25}
    found = columns(
        [
            ("Checkout Started", order),
            ("Order Placed", {"orderId": "7"}),
            ("Order Completed", order),
            ("purchase", {"transaction_id": 7, "value": "25.00"}),
            ("Order Updated", order),
            ("purchase", {"transaction_id": "8", "value": 5}),
        ]
    )
    assert found == [
        (None, None, None, None),
        # The order counts when it is first reported, and its amount when it is known.
        ("purchase", "7", None, None),
        (None, "7", Decimal(25), None),
        (None, "7", None, None),
        (None, None, None, None),
        ("purchase", "8", Decimal(5), None),
    ]


def test_orders_without_a_usable_id_each_count() -> None:
    ids = [
        None,
        "",
        " ",
        "undefined",
        "NULL",
        "[object Object]",
        "0",
        "(not set)",
        "{{ order.id }}",
        "${id}",
        "%ID%",
        "<id>",
    ]
    lines = [("purchase", {"order_id": each, "revenue": 1}) for each in ids for _ in range(2)]
    assert columns(lines) == [("purchase", None, Decimal(1), None)] * len(lines)
    assert enriched({"order_id": "undefined"}, event="purchase")["warnings"] == "order_id: placeholder"
    assert enriched({"order_id": ""}, event="purchase", warnings="a: b")["warnings"] == "a: b"


@pytest.mark.parametrize(
    "properties",
    [
        {"order_id": "A-1"},
        {"orderId": "A-1"},
        {"orderID": "A-1"},
        {"order_number": "A-1"},
        {"orderNumber": "A-1"},
        {"transaction_id": " A-1 "},
        {"transactionId": "A-1"},
        {"transactionID": "A-1"},
        {"order_id": None, "ecommerce": {"transaction_id": "A-1"}},
        {"order_id": "", "transaction_id": "A-1"},
    ],
)
def test_the_order_id_is_read_from_where_senders_put_it(properties: dict[str, Any]) -> None:
    assert enriched(properties, event="purchase")["order_id"] == "A-1"


def test_the_same_id_in_two_projects_is_two_orders() -> None:
    rows = [raw_row({"order_id": "1", "revenue": 2}, event="purchase", project_id=each) for each in ("p1", "p2")]
    assert [row["revenue"] for row in enrich([rows[0], rows[1] | {"line_number": 2}])] == [2, 2]


def test_refunds_and_cancellations_are_apart_and_equal_ones_count_once() -> None:
    found = columns(
        [
            ("purchase", {"order_id": "1", "revenue": 25}),
            ("Order Refunded", {"order_id": "1", "revenue": 5}),
            ("Order Refunded", {"order_id": "1", "revenue": 5}),
            ("Order Refunded", {"order_id": "1", "total": -7}),
            ("refund", {"order_id": "1", "refund_id": "r-2", "refund_amount": 5, "value": 25}),
            ("OrderCancelled", {"order_id": "2", "revenue": 9}),
            ("Order Refunded", {"order_id": "2", "revenue": 9}),
            ("order_canceled", {"order_id": "3"}),
            ("purchase", {"order_id": "4", "revenue": -3}),
            ("refund", {"value": 1}),
            ("refund", {"value": 1}),
        ]
    )
    assert found == [
        ("purchase", "1", Decimal(25), None),
        ("refund", "1", None, Decimal(5)),
        (None, "1", None, None),
        ("refund", "1", None, Decimal(7)),
        ("refund", "1", None, Decimal(5)),
        ("cancellation", "2", None, Decimal(9)),
        (None, "2", None, None),
        ("cancellation", "3", None, None),
        ("refund", "4", None, Decimal(3)),
        ("refund", None, None, Decimal(1)),
        ("refund", None, None, Decimal(1)),
    ]


def test_the_first_that_arrives_counts_within_the_days_of_receipt() -> None:
    days = [0, 3, 9, 17]
    rows = [
        # The event that is received last happened first.
        raw_row(
            {"order_id": "1", "revenue": day},
            event="purchase",
            event_id=str(day),
            line_number=day,
            event_time=NOON - day * timedelta(hours=0.1),
            received_at=NOON + timedelta(day),
            received_hour=NOON + timedelta(day),
        )
        for day in days
    ]
    counted = {int(row["event_id"]): row["revenue"] for row in enrich(rows)}
    assert counted == {0: 0, 3: None, 9: None, 17: 17}


def test_a_copy_of_a_purchase_is_not_an_earlier_purchase() -> None:
    row = raw_row({"order_id": "1", "revenue": 4}, event="purchase")
    (event,) = enrich([row, row | {"line_number": 2}])
    assert (event["order_event"], event["revenue"]) == ("purchase", 4)


READABLE = {
    "$19.99": "19.99",
    "19,99": "19.99",
    "1,299.00": "1299",
    "1.299,00 €": "1299",
    "€1.299,5": "1299.5",
    "1,299,000": "1299000",
    "1.299.000": "1299000",
    "12,99,000.00": "1299000",
    "1 299,00 kr": "1299",
    "1\u202f299,00\u00a0€": "1299",
    "1'299.00": "1299",
    "CHF 1’299.00": "1299",
    "US$5": "5",
    "R$ 19,90": "19.90",
    "USD 5": "5",
    "5 eur": "5",
    "Rs. 500": "500",
    "0,125": "0.125",
    "0.125": "0.125",
    "1299.000": "1299",
    "25.0000": "25",
    "+5": "5",
    ".99": "0.99",
    " 7 ": "7",
}
UNREADABLE = [
    "1,299",
    "1.299",
    "$1,299",
    "12,345",
    "free",
    "5%",
    "5 pcs",
    "19USD99",
    "1 2 3",
    "1,2,3",
    "--5",
    "NaN",
    "1e3",
    "5.",
    "9" * 20,
]


def test_texts_are_read_if_they_mean_the_same_everywhere() -> None:
    texts = [*READABLE, *UNREADABLE]
    rows = [
        raw_row({"revenue": text}, event="purchase", event_id=str(at), line_number=at) for at, text in enumerate(texts)
    ]
    found = {texts[int(row["event_id"])]: (row["revenue"], row["warnings"]) for row in enrich(rows)}
    assert {text: found[text] for text in READABLE} == {
        text: (Decimal(value), None) for text, value in READABLE.items()
    }
    assert {text: found[text] for text in UNREADABLE} == dict.fromkeys(UNREADABLE, (None, "revenue: unreadable amount"))


@pytest.mark.parametrize(
    ("event", "properties", "revenue", "refund", "warnings"),
    [
        ("purchase", {"revenue": 1.299}, "1.299", None, None),
        ("purchase", {"revenue": "−5 €"}, None, "5", None),
        ("purchase", {"revenue": "", "value": "3"}, "3", None, None),
        ("purchase", {"revenue": None, "value": 3, "total": 4}, "3", None, None),
        ("purchase", {"$revenue": 3}, "3", None, None),
        ("purchase", {"total": 4}, "4", None, None),
        ("purchase", {"ecommerce": {"value": 4}}, "4", None, None),
        ("purchase", {"revenue": True}, None, None, "revenue: unreadable amount"),
        ("purchase", {"revenue": {"amount": 3}}, None, None, "revenue: unreadable amount"),
        ("purchase", None, None, None, None),
        ("refund", {"value": "1,299"}, None, None, "refund: unreadable amount"),
        ("invoice_paid", {"order_id": "1", "revenue": "1,299"}, None, None, None),
    ],
)
def test_amounts(event: str, properties: Any, revenue: str | None, refund: str | None, warnings: str | None) -> None:
    row = enriched(properties, event=event, type="track")
    expected = (revenue and Decimal(revenue), refund and Decimal(refund), warnings)
    assert (row["revenue"], row["refund"], row["warnings"]) == expected


def test_a_placeholder_does_not_hide_the_id_beside_it() -> None:
    order = {"order_id": "undefined", "transaction_id": "T1", "revenue": 25}
    assert columns([("purchase", order), ("purchase", order)]) == [
        ("purchase", "T1", Decimal(25), None),
        (None, "T1", None, None),
    ]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_placeholders_are_no_order_ids_and_have_no_key(text: str) -> None:
    assert text in NO_ORDERS
    assert columns([("purchase", {"order_id": text, "revenue": 25})]) == [("purchase", None, Decimal(25), None)]
