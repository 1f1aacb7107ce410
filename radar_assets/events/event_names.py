"""What the names of events mean: the standard names, those of `radar.yaml`, and the rule by which spellings are compared.

Senders name events as they like, so a name counts in every spelling. What is counted belongs to the metrics.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from radar_assets.lakehouse.sql import literal

Meaning = Literal["purchase", "refund", "cancellation", "sign_up", "conversion", "error", "nothing"]

# Names that SDKs, shop systems and the specifications of Segment, Snowplow, Google and Meta use for the same event.
STANDARD_NAMES: Mapping[Meaning, tuple[str, ...]] = {
    "purchase": (
        *("purchase", "purchased", "purchase_completed", "completed_purchase", "purchase_made"),
        *("order_completed", "completed_order", "order_complete", "order_placed", "placed_order", "place_an_order"),
        *("checkout_completed", "completed_checkout", "checkout_complete", "complete_payment"),
        *("transaction", "transaction_completed", "ecommerce_purchase", "in_app_purchase"),
    ),
    "refund": (
        *("refund", "refunded", "order_refunded", "refunded_order", "purchase_refunded", "transaction_refunded"),
        *("order_refund", "refund_completed", "refund_issued", "payment_refunded"),
    ),
    "cancellation": (
        *(
            "order_cancelled",
            "order_canceled",
            "cancelled_order",
            "canceled_order",
            "cancel_order",
            "order_cancellation",
        ),
        *("purchase_cancelled", "purchase_canceled", "transaction_cancelled", "transaction_canceled", "cancellation"),
    ),
    "sign_up": (
        *("sign_up", "signed_up", "sign_up_completed", "completed_sign_up", "user_sign_up", "user_signed_up"),
        *("account_created", "create_account", "created_account", "registered", "user_registered"),
        *("complete_registration", "registration_completed"),
    ),
    "conversion": ("conversion", "subscription_started"),
    "error": (
        *("error", "exception", "$exception", "js_error", "javascript_error", "client_error"),
        *("app_error", "app_exception", "application_error", "application_crashed", "app_crashed", "crash"),
        "unhandled_exception",
    ),
}
"""The names that each meaning has without configuration, spelled by `spelled`."""
_SEPARATORS = r"[ \t\r\n\u00a0._:/-]+"


def spelled(name: str) -> str:
    """A name as it is compared: in lower case, with an underscore between words.

    Words are divided by spaces, dashes, dots, underscores, colons, slashes or a capital letter: `Signed Up`, `signed-up`,
    `SignedUp` and `SIGNED_UP` are `signed_up`. `SPELLED` is the same rule in SQL.
    """
    divided = re.sub("([A-Z])([A-Z][a-z])", r"\1_\2", re.sub("([a-z0-9])([A-Z])", r"\1_\2", name))
    return re.sub(_SEPARATORS, "_", divided.lower()).strip("_")


SPELLED = (
    "trim(regexp_replace(lower(regexp_replace(regexp_replace("
    r"event, '([a-z0-9])([A-Z])', '\1_\2', 'g'), '([A-Z])([A-Z][a-z])', '\1_\2', 'g')), "
    r"'[ \t\r\n\x{a0}._:/-]+', '_', 'g'), '_')"
)


class EventName(BaseModel):
    """A name of your own that counts like a standard one, or a standard name that doesn't count.

    Attributes:
        name: the event's name, in any spelling.
        counts_as: what it means. `nothing` takes the meaning from a standard name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    counts_as: Meaning

    @field_validator("name")
    @classmethod
    def _new_name(cls, name: str, info: ValidationInfo) -> str:
        """Check the name. The validation context, if any, collects the names so far in `event_names`."""
        word = spelled(name)
        if not word or len(name) > 200:
            raise ValueError("must be the name of an event, of 1 to 200 characters")
        names: set[str] = set() if info.context is None else info.context.setdefault("event_names", set())
        if word in names:
            raise ValueError(f"event name {name} is listed twice, in this or another spelling")
        names.add(word)
        return name


def named(*meanings: Meaning) -> str:
    """The SQL condition that `event_name` has one of these meanings. It also takes names whose words are not divided."""
    names = dict.fromkeys(name for meaning in meanings for name in STANDARD_NAMES[meaning])
    return f"event_name in ({literals(dict.fromkeys((*names, *(name.replace('_', '') for name in names))))})"


def meaning() -> str:
    """The SQL expression of what `event_name` means; null if it has no meaning."""
    return f"case {' '.join(f'when {named(each)} then {literal(each)}' for each in STANDARD_NAMES)} end"


def event_name(names: Sequence[EventName]) -> str:
    """The SQL expression of `event_name`: the name as it is compared, and for a team's names the meaning."""
    if not names:
        return SPELLED
    branches = (f"when {literals([spelled(each.name)])} then {literals([each.counts_as])}" for each in names)
    return f"case {SPELLED} {' '.join(branches)} else {SPELLED} end"


def literals(texts: Iterable[str]) -> str:
    """SQL literals, separated by commas."""
    return ", ".join(map(literal, texts))
