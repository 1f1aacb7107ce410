"""Escalation: alerts that no one acknowledges are announced to further channels, step by step.

Which steps were sent is in the alert's row, and changes in the transaction that puts their messages into the outbox, so that no step
is sent twice however often and by how many processes it is decided.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.announcements import Context, escalation_of, topic
from radar_assets.alerts.notices import KIND
from radar_assets.alerts.records import LOCK_KEY
from radar_assets.alerts.rendering import thread_id
from radar_assets.alerts.rules import Rule, load_rules
from radar_assets.alerts.settings import AlertSettings
from radar_assets.alerts.showing import context_of, notice_now
from radar_assets.messaging.channels import separate, taking
from radar_assets.messaging.outbox import SEPARATE, new_delivery
from radar_assets.metrics.registry import Metric
from radar_assets.store.database import Store
from radar_assets.store.dialects import lock
from radar_assets.store.models import OPEN_STATES, Alert


def escalate(store: Store, metrics: Sequence[Metric], settings: AlertSettings, now: datetime) -> int:
    """Put the messages of the steps that are due into the outbox. Returns how many steps.

    Args:
        now: naive, UTC.
    """
    rules = {rule.name: rule for rule in load_rules(store) if rule.enabled and rule.escalation}
    if not rules:
        return 0
    waiting = sa.select(Alert).where(
        Alert.rule.in_(rules),
        Alert.state.in_(OPEN_STATES),
        Alert.announced_at.is_not(None),
        Alert.recovered_at.is_(None),
        Alert.acknowledged_at.is_(None),
    )
    with store.session(read_only=True) as session:
        # The common case needs no lock.
        if not any(due_steps(alert, rules[alert.rule], now) for alert in session.scalars(waiting)):
            return 0
    context = context_of(store, metrics, settings, now)
    with store.session() as session:
        lock(session, LOCK_KEY)
        # Within the lock, the alerts are as the latest judgement and people have left them.
        found = session.scalars(waiting.order_by(Alert.announced_at, Alert.id)).all()
        return sum(_send(session, alert, rules[alert.rule], context) for alert in found)


def due_steps(alert: Alert, rule: Rule, now: datetime) -> list[int]:
    """The steps of an unacknowledged alert that are due and have not been sent, counted from 0."""
    if (rule.severity != "critical" and rule.is_quiet(now)) or alert.announced_at is None:
        return []
    since = _since(alert)
    if alert.snoozed_until:
        # After a snooze, people have the full time again.
        since = max(since, alert.snoozed_until)
    sent = len(escalation_of(alert)["steps"])
    return [number for number, step in enumerate(rule.escalation) if number >= sent and now - since >= step.after]


def _send(session: Session, alert: Alert, rule: Rule, context: Context) -> int:
    """Put the due steps of an alert into the outbox. Returns how many."""
    due = due_steps(alert, rule, context.now)
    if context.end_of(alert, rule) < context.now - context.max_age:
        # Radar was down, and whether the alert still lasts is not known yet.
        return 0
    state, since = escalation_of(alert), _since(alert)
    steps, alone = list(state["steps"]), separate(session)
    for number in due:
        names = taking(session, rule.escalation[number].channels, rule.severity)
        notice = notice_now(alert, rule, context).model_copy(update={"reason": "escalated"})
        for name in names:
            session.add(
                new_delivery(
                    KIND,
                    name,
                    f"{alert.id}:escalated:{since:%Y%m%dT%H%M%S}:{number}",
                    rule.severity,
                    # Not counted with announcements: the hourly limit must not hold back what no one has seen.
                    f"{SEPARATE if name in alone else ''}escalated:{topic(alert)}",
                    [notice.model_dump(mode="json")],
                    context.now,
                    thread_id=thread_id(alert.id),
                )
            )
        steps.append({"at": context.now.isoformat(), "channels": names})
    if due:
        alert.escalation = {**state, "steps": steps}
        alert.updated_at = context.now
    return len(due)


def _since(alert: Alert) -> datetime:
    """When the alert was announced, or resumed."""
    began = escalation_of(alert)["since"]
    at = datetime.fromisoformat(began) if began else alert.announced_at
    assert at
    return at
