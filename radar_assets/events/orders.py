"""What `sql/events.sql` takes from code about orders: their names, placeholders of order ids, and how currencies are written."""

from collections.abc import Sequence

from radar_assets.events.event_names import EventName, Meaning, event_name, literals, named

ORDER_KINDS: tuple[Meaning, ...] = ("purchase", "refund", "cancellation")
"""The meanings of events about orders; the values of `events.order_event`."""
ORDER_IDS = (
    *("order_id", "transaction_id", "orderId", "transactionId", "orderID", "transactionID"),
    *("order_number", "orderNumber", "ecommerce.transaction_id"),
)
"""The properties that may hold the id of an order, as paths. The first usable one counts."""
PLACEHOLDERS = (
    *("0", "-1", "undefined", "null", "(null)", "none", "nil", "nan", "n/a", "na", "unknown", "true", "false"),
    *("(not set)", "not set", "[object object]", "{}", "[]", "00000000-0000-0000-0000-000000000000"),
)
"""Texts in lower case that are no order id. They would make one order of many."""
_CURRENCY = (
    r"(?:\pL{0,4}\.?\p{Sc}|[A-Z]{3}|(?i:eur|usd|gbp|chf|jpy|cny|inr|kr|sek|nok|dkk|zł|pln|kč|czk|ft|huf|lei|rs|fr)\.?)"
)
"""A regular expression for a currency before or after an amount: a symbol with letters such as `US$`, or a code."""


def order_fragments(names: Sequence[EventName]) -> dict[str, str]:
    """What names mean and how amounts are written, for `events.sql`.

    Args:
        names: those of `radar.yaml`.
    """
    kinds = (f"when {named(kind)} then {literals([kind])}" for kind in ORDER_KINDS)
    return {
        "event_name": event_name(names),
        "order_kind": f"case {' '.join(kinds)} end",
        "order_ids": literals(f"$.{path}" for path in ORDER_IDS),
        "placeholders": literals(PLACEHOLDERS),
        "leading_currency": literals([f"^(-?) ?{_CURRENCY} ?"]),
        "trailing_currency": literals([f" ?{_CURRENCY}$"]),
    }
