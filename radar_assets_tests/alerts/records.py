"""Helpers to record findings, given as hours in which values broke a rule, and to read what the store has afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import sqlalchemy as sa

from radar_assets.alerts.announcements import Context
from radar_assets.alerts.findings import Breach, Findings, Kept
from radar_assets.alerts.ledger import Recorded, record
from radar_assets.alerts.rules import Rule
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.store.database import Store
from radar_assets.store.models import Alert, AlertBreach, Channel, Delivery
from radar_assets.windows import HOUR, Window

DAY = datetime(2026, 3, 10)


def rule(**fields: Any) -> Rule:
    """A rule on hourly errors that notifies one channel, unless fields say otherwise."""
    given = {"name": "errors_high", "metric": "errors", "threshold": 10, "channels": ("chat",), **fields}
    return Rule.model_validate(given)


def at(hour: float) -> datetime:
    """A time on the tests' day."""
    return DAY + timedelta(hours=hour)


def window(hour: int) -> Window:
    """An hour of the tests' day."""
    return Window(at(hour), at(hour + 1))


def judged(
    by: Rule, values: Mapping[int, float | None], project: str = "shop", breaching: Iterable[int] | None = None
) -> Findings:
    """The findings of judging these hours, given their values. Values above the rule's threshold break it; None is no value.

    Hours between them were requested too, but have too little data.
    """
    asked = [window(hour) for hour in range(min(values, default=0), max(values, default=-1) + 1)]
    end = max(values, default=-1) + 1
    without = takewhile(lambda hour: values[hour] is None, sorted(values, reverse=True))
    silent = {(project, ""): Window(at(min(without, default=end)), at(end))} if values else {}
    values = {hour: value for hour, value in values.items() if value is not None}
    over = [hour for hour, value in values.items() if value > (by.threshold or 0)]
    return Findings(
        by,
        {(project, ""): [window(hour) for hour in sorted(values)]},
        [
            Breach(project, window(hour), at(hour - by.for_windows + 1), values[hour], by.threshold or 0)
            for hour in sorted(over if breaching is None else breaching)
        ],
        asked,
        {(project, at(hour)): Kept(value) for hour, value in values.items() if hour not in over},
        silent,
    )


def context(now: datetime, **fields: Any) -> Context:
    """The context of announcements at a time."""
    given: dict[str, Any] = {
        "now": now,
        "max_age": timedelta(hours=24),
        "throttle_per_hour": 10,
        "ui_url": "https://radar.example",
        "metrics": {metric.name: metric for metric in STANDARD_METRICS},
        "project_names": {"shop": "The Shop"},
        "asset": "hourly_metrics",
    }
    return Context(**{**given, **fields})


def note(store: Store, by: Rule, values: Mapping[int, float | None], now: datetime, **fields: Any) -> Recorded:
    """Judge hours of the project `shop` and record the findings."""
    return record(store, judged(by, values), context(now, **fields))


def alerts(store: Store) -> list[Alert]:
    """All alerts, by rule, project and start."""
    with store.session(read_only=True) as session:
        found = session.scalars(sa.select(Alert))
        return sorted(found, key=lambda alert: (alert.rule, alert.project_id, alert.subject, alert.fired_at, alert.id))


def breaches(store: Store, alert: Alert) -> list[int]:
    """The hours of an alert, counted from the start of the tests' day."""
    with store.session(read_only=True) as session:
        starts = session.scalars(sa.select(AlertBreach.window_start).where(AlertBreach.alert_id == alert.id))
        return sorted((start - DAY) // HOUR for start in starts)


def deliveries(store: Store) -> list[Delivery]:
    """All rows of the outbox, in order."""
    with store.session(read_only=True) as session:
        return list(session.scalars(sa.select(Delivery).order_by(Delivery.created_at, Delivery.channel)))


def announced(store: Store) -> list[tuple[str, int]]:
    """Reason and latest hour of each notice in the outbox."""
    return [
        (notice["reason"], (datetime.fromisoformat(notice["window_start"]) - DAY) // HOUR)
        for row in deliveries(store)
        for notice in row.contents
    ]


def add_channels(store: Store, specs: Sequence[Mapping[str, Any]]) -> None:
    """Put channels into the store as `radar apply` does."""
    with store.session() as session:
        session.add_all(Channel(name=spec["name"], position=place, spec=dict(spec)) for place, spec in enumerate(specs))
