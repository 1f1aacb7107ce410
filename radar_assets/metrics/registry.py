"""The registry of metrics: the standard metrics, and the model of custom metrics in `radar.yaml`.

What an expression may contain is in `expressions.py`; the statements that compute metrics are in `composition.py`.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from radar_assets.events.event_names import STANDARD_NAMES
from radar_assets.markdown import escape_images, refuse_images
from radar_assets.metrics.sources import Source

Grain = Literal["hour", "day"]


class Metric(BaseModel):
    """A number per project and hour or day.

    Attributes:
        name: snake case; the value of the column `metric`.
        source: the table to aggregate, without bots and internal traffic. An expression over events that names `is_bot` or
            `is_internal` decides about these itself. Metrics of sessions have daily values only.
        expression: SQL aggregate over the columns of the source and `visitor` (the user id seen for the visitor within the
            hour or day, else `visitor_id`). `event_name` is `event` in lower case with underscores between words, and
            `meaning` what it means: `purchase`, `refund`, `cancellation`, `sign_up`, `conversion`, `error` or null.
        unit: what the value counts; omit it for a plain number.
        title: display name. Derived from `name` by default.
        description: what the metric means. The expression by default.
        good: the direction that is an improvement, if any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: Source = "events"
    expression: str
    title: str
    description: str
    unit: str | None = None
    good: Literal["up", "down"] | None = None

    @property
    def grains(self) -> tuple[Grain, ...]:
        """The grains at which the metric has values."""
        return ("hour", "day") if self.source == "events" else ("day",)

    @property
    def definition(self) -> str:
        """Digest of everything its values depend on."""
        return sha256(f"{self.name}\n{self.source}\n{self.expression}".encode()).hexdigest()[:16]

    @property
    def empty_value(self) -> float | None:
        """The value over no rows: 0 for counts and sums, None for ratios and averages.

        The tables have no rows for hours and days without events.
        """
        from radar_assets.metrics.expressions import over_nothing

        return over_nothing(self.expression, self.source)


_ANY_SPELLING = "in any spelling; `radar.yaml` can add names"


STANDARD_METRICS: tuple[Metric, ...] = (
    Metric(
        name="events",
        title="Events",
        description="All events, including automatic ones and those from servers.",
        expression="count(*)",
        unit="events",
    ),
    Metric(
        name="page_views",
        title="Page views",
        description="Events named `page_view`.",
        expression="count(*) filter (where event = 'page_view')",
        unit="page views",
        good="up",
    ),
    Metric(
        name="visitors",
        title="Visitors",
        description="Distinct visitors who did something in a browser or app. A visitor seen with a user id within the hour or "
        "day counts as that user.",
        expression="count(distinct visitor) filter (where is_interactive and not is_from_server)",
        unit="visitors",
        good="up",
    ),
    Metric(
        name="users",
        title="Users",
        description="Distinct user ids, including those in events from servers.",
        expression="count(distinct user_id)",
        unit="users",
        good="up",
    ),
    Metric(
        name="signups",
        title="Sign-ups",
        description=f"Events with one of the names {', '.join(STANDARD_NAMES['sign_up'])}, {_ANY_SPELLING}.",
        expression="count(*) filter (where meaning = 'sign_up')",
        unit="events",
        good="up",
    ),
    Metric(
        name="conversions",
        title="Conversions",
        description=f"Orders, and events with one of the names {', '.join(STANDARD_NAMES['conversion'])}, {_ANY_SPELLING}.",
        # Events of earlier versions are not marked as orders; a repetition has the id of its order.
        expression=(
            "count(*) filter (where order_event = 'purchase' or order_event is null and order_id is null"
            " and meaning in ('purchase', 'conversion'))"
        ),
        unit="events",
        good="up",
    ),
    Metric(
        name="orders",
        title="Orders",
        description="Purchases, once per order id.",
        # As for conversions.
        expression=(
            "count(*) filter (where order_event = 'purchase' or order_event is null and order_id is null"
            " and meaning = 'purchase')"
        ),
        unit="orders",
        good="up",
    ),
    Metric(
        name="revenue",
        title="Revenue",
        description="Amounts of purchases, once per order id, in the sender's currency.",
        expression="sum(revenue)",
        unit="currency",
        good="up",
    ),
    Metric(
        name="refunds",
        title="Refunds",
        description="Amounts of refunds and cancellations on the day they are made, in the sender's currency.",
        expression="sum(refund)",
        unit="currency",
        good="down",
    ),
    Metric(
        name="net_revenue",
        title="Net revenue",
        description="Revenue minus refunds, in the sender's currency.",
        expression="sum(revenue) - sum(refund)",
        unit="currency",
        good="up",
    ),
    Metric(
        name="errors",
        title="Errors",
        description=f"Events with one of the names {', '.join(STANDARD_NAMES['error'])}, {_ANY_SPELLING}.",
        expression="count(*) filter (where meaning = 'error')",
        unit="events",
        good="down",
    ),
    Metric(
        name="error_rate",
        title="Error rate",
        description="Errors as a share of all events, from 0 to 1.",
        expression="count(*) filter (where meaning = 'error') / count(*)",
        unit="ratio",
        good="down",
    ),
    Metric(
        name="sessions",
        title="Sessions",
        description="Sessions that start on the day.",
        source="sessions",
        expression="count(*)",
        unit="sessions",
        good="up",
    ),
    Metric(
        name="new_visitors",
        title="New visitors",
        description="Visitors of the day's sessions who had no session in the 30 days before.",
        source="sessions",
        # A visitor is known if any session of the day says so, such as the one in which they signed in on a new device.
        expression="count(distinct visitor) - count(distinct visitor) filter (where not is_new_visitor)",
        unit="visitors",
        good="up",
    ),
    Metric(
        name="bounce_rate",
        title="Bounce rate",
        description="Sessions with one page view and no other interactive event, as a share of all sessions, from 0 to 1.",
        source="sessions",
        expression="count(*) filter (where is_bounce) / count(*)",
        unit="ratio",
        good="down",
    ),
    Metric(
        name="session_duration_avg_s",
        title="Average session duration",
        description="Mean time from the first event of a session to its last. Sessions of a single event count as 0 s.",
        source="sessions",
        expression="sum(duration_s) / count(*)",
        unit="s",
        good="up",
    ),
    Metric(
        name="pages_per_session",
        title="Pages per session",
        description="Page views of the day's sessions divided by their number.",
        source="sessions",
        expression="sum(page_views) / count(*)",
        unit="page views",
        good="up",
    ),
)

_TAKEN = frozenset({"project_id", "hour", "date", *(metric.name for metric in STANDARD_METRICS)})


class CustomMetric(Metric):
    """A metric declared in `radar.yaml`. The expression is validated when the file is read."""

    title: str = ""
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _described(cls, given: Any) -> Any:
        """Derive a missing title and description from the other fields."""
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            return given
        title = given["name"].replace("_", " ").capitalize()
        return {"title": title, "description": escape_images(f"`{given.get('expression')}`"), **given}

    @field_validator("title", "description", "unit")
    @classmethod
    def _shows_no_image(cls, text: str | None) -> str | None:
        return None if text is None else refuse_images(text)

    @field_validator("name")
    @classmethod
    def _new_name(cls, name: str, info: ValidationInfo) -> str:
        """Check the name. The validation context, if any, collects the names of the metrics so far in `metric_names`."""
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 60:
            raise ValueError(f"invalid metric name {name!r}; use snake_case, e.g. monthly_searches")
        names: set[str] = set() if info.context is None else info.context.setdefault("metric_names", set())
        if name in _TAKEN or name in names:
            raise ValueError(f"metric name {name} is already in use")
        names.add(name)
        return name

    @field_validator("expression")
    @classmethod
    def _sound_expression(cls, expression: str, info: ValidationInfo) -> str:
        from radar_assets.metrics.expressions import check

        if "source" in info.data:
            check(expression, info.data["source"])
        return expression


def registry(custom: Sequence[Metric] = ()) -> tuple[Metric, ...]:
    """All metrics: standard and custom."""
    return (*STANDARD_METRICS, *custom)
