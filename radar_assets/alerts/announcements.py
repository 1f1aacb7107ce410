"""Announcements: decides when and how often an alert is announced. Each announcement is a row of the outbox.

Everything is decided from the alert's row, in the transaction that changes it, so that nothing is announced twice however often
windows are judged. Announcements held back by quiet hours or a snooze are decided again when the rule is next judged.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.episodes import overlaps_announced
from radar_assets.alerts.findings import Key
from radar_assets.alerts.notices import KIND, Notice, Reason
from radar_assets.alerts.rendering import thread_id
from radar_assets.alerts.rules import Rule, Severity
from radar_assets.calendar import DAYS_IN_UTC, IN_UTC, Calendar, begin_of
from radar_assets.messaging.channels import separate, taking
from radar_assets.messaging.outbox import SEPARATE, TOGETHER, new_delivery
from radar_assets.metrics.registry import Metric
from radar_assets.store.models import OPEN_STATES, Alert, Delivery
from radar_assets.windows import HOUR, Window

REMINDED_WINDOWS = 2
"""A reminder is about the present, so the last window of the alert ended at most this many windows ago."""
REASONS: dict[str, Reason] = {
    "firing": "fired",
    "no_data": "no_data",
    "resolved": "recovered",
    "ended_without_data": "ended_without_data",
}
"""Reason of an announcement of an alert in its present state."""
ENDS: frozenset[Reason] = frozenset({"recovered", "ended_without_data"})
"""Reasons of announcements that also go to the channels that the alert was escalated to."""
ORDER = timedelta(microseconds=1)
"""Time between the announcements of one judgement, which keeps them in order."""


@dataclass(frozen=True)
class Context:
    """Context of announcements, besides the findings.

    Attributes:
        max_age: alerts whose latest window ended longer ago are recorded but not announced.
        throttle_per_hour: limit of single announcements an hour for each project, kind and severity.
        ui_url: address of the UI, for links; None if unknown.
        metrics: the registry by name.
        project_names: names of the projects, by id.
        zones: IANA time zones of the projects, by id.
        calendar: the days of the projects.
        asset: the asset that the rule's check is on.
    """

    now: datetime
    max_age: timedelta
    throttle_per_hour: int
    ui_url: str | None
    metrics: Mapping[str, Metric]
    project_names: Mapping[str, str]
    asset: str
    zones: Mapping[str, str] = field(default_factory=dict)
    calendar: Calendar = DAYS_IN_UTC

    def end_of(self, alert: Alert, rule: Rule) -> datetime:
        """When the last window of an alert ended, in UTC. Alerts of rules over days have the project's dates instead."""
        if rule.watch or rule.window != "1d":
            return alert.ended_at
        return begin_of(self.calendar.zones.get(alert.project_id, IN_UTC), alert.ended_at.date())


def announce(
    session: Session, rule: Rule, alerts: Mapping[Key, Sequence[Alert]], growing: Collection[str], context: Context
) -> list[tuple[Alert, Reason]]:
    """Put the announcements that are due for a rule's alerts into the outbox.

    Args:
        alerts: all alerts that this judgement may affect, by project and subject.
        growing: ids of the alerts with new windows.
    """
    for alert in (alert for known in alerts.values() for alert in known):
        if alert.announced_at and alert.recovered_at is None:
            _cover(alert)
    channels = taking(session, rule.channels, rule.severity) if rule.enabled else []
    if not channels or (rule.severity != "critical" and rule.is_quiet(context.now)):
        return []
    due: list[tuple[Alert, Reason]] = [
        (alert, reason)
        for known in alerts.values()
        for alert in sorted(known, key=lambda alert: alert.started_at)
        for reason in _due(session, alert, known, rule, alert.id in growing, context)
    ]
    sent = _sent_this_hour(session, {topic(alert) for alert, _ in due}, context)
    batch = _Batch(session, channels, sent, context)
    for alert, reason in due:
        also = escalated_to(alert) if reason in ENDS else []
        batch.add(alert, reason, notice_of(alert, rule, reason, context), also)
    batch.write()
    return due


def escalation_of(alert: Alert) -> dict[str, Any]:
    """The escalation of an alert: since when its steps are counted (None: since it was announced), and those that were sent."""
    return alert.escalation or {"since": None, "steps": []}


def escalated_to(alert: Alert) -> list[str]:
    """The channels that an alert has been escalated to, in order."""
    return list(dict.fromkeys(name for step in escalation_of(alert)["steps"] for name in step["channels"]))


def topic(alert: Alert) -> str:
    """The key that announcements are counted by for the hourly limit."""
    return f"{alert.kind}:{alert.severity}:{alert.project_id}"


def _due(
    session: Session, alert: Alert, known: Iterable[Alert], rule: Rule, is_growing: bool, context: Context
) -> list[Reason]:
    """The announcements of an alert that are due now, recorded in its row."""
    due: list[Reason] = []
    now = context.now
    if alert.snoozed_until and alert.snoozed_until > now:
        return []
    ended_at = context.end_of(alert, rule)
    is_firing, is_recent = alert.state == "firing", ended_at >= now - context.max_age
    is_open, has_no_data = alert.state in OPEN_STATES, alert.state == "no_data"
    if alert.announced_at is None:
        if is_recent and (is_open or is_growing) and not _was_announced(session, alert, known):
            due.append("fired_and_recovered" if alert.state == "resolved" else REASONS[alert.state])
            alert.announced_at = now
            alert.recovered_at = None if is_open else now
            alert.no_data_announced_at = now if has_no_data else None
    elif has_no_data:
        # Once per alert: a metric that has values only now and then would send two messages for each gap.
        if alert.no_data_announced_at is None:
            due.append("no_data")
            alert.no_data_announced_at = now
    elif (
        alert.recovered_at and is_firing and is_recent and alert.covered_until and alert.ended_at > alert.covered_until
    ):
        due.append("still_firing")
        alert.recovered_at = alert.acknowledged_at = alert.acknowledged_by = None
        alert.escalation = {"since": now.isoformat(), "steps": []}
    elif (
        is_firing
        and is_recent
        and now - ended_at <= REMINDED_WINDOWS * rule.step
        and alert.recovered_at is None
        and (_has_data_again(alert) or _is_reminder_due(alert, rule, now))
    ):
        due.append("still_firing")
    if due:
        # Equal to `no_data_announced_at` only until something else is announced.
        has_data = "still_firing" in due and alert.no_data_announced_at == now
        alert.renotified_at = now + ORDER if has_data else now
        _cover(alert)
    if (
        rule.recovery
        and alert.announced_at
        and alert.recovered_at is None
        and alert.resolved_at
        and alert.resolved_at >= now - context.max_age
        and not any(
            other.state in OPEN_STATES and overlaps_announced(alert, other.fired_at, other.ended_at) for other in known
        )
    ):
        due.append(REASONS[alert.state])
        alert.recovered_at = now
    return due


def _has_data_again(alert: Alert) -> bool:
    """Whether the last announcement of a firing alert is that there is no data."""
    return alert.no_data_announced_at is not None and alert.renotified_at == alert.no_data_announced_at


def _is_reminder_due(alert: Alert, rule: Rule, now: datetime) -> bool:
    if rule.renotify_every is None or alert.acknowledged_at or alert.announced_at is None:
        return False
    return now - (alert.renotified_at or alert.announced_at) >= rule.renotify_every


def _was_announced(session: Session, alert: Alert, known: Iterable[Alert]) -> bool:
    """Whether the latest window of the alert was announced as part of another alert, which may have ended long ago."""
    start = alert.ended_at - ORDER
    if any(other is not alert and overlaps_announced(other, start, alert.ended_at) for other in known):
        return True
    same = (Alert.rule == alert.rule, Alert.project_id == alert.project_id, Alert.subject == alert.subject)
    covering = (Alert.id != alert.id, Alert.covered_from < alert.ended_at, Alert.covered_until > start)
    return session.scalar(sa.select(Alert.id).where(*same, *covering).limit(1)) is not None


def _cover(alert: Alert) -> None:
    """Mark all windows of the alert as announced."""
    covered_from = min(alert.covered_from or alert.fired_at, alert.fired_at)
    covered_until = max(alert.covered_until or alert.ended_at, alert.ended_at)
    if (covered_from, covered_until) != (alert.covered_from, alert.covered_until):
        alert.covered_from, alert.covered_until = covered_from, covered_until


def _sent_this_hour(session: Session, topics: Collection[str], context: Context) -> Counter[str]:
    hour, listed, sent = Window.of_hour(context.now).start, sorted(topics), Counter[str]()
    for start in range(0, len(listed), 500):
        counts = session.execute(
            sa.select(Delivery.topic, sa.func.count(sa.distinct(Delivery.dedupe_key)))
            .where(
                Delivery.topic.in_(listed[start : start + 500]),
                Delivery.created_at >= hour,
                Delivery.created_at < hour + HOUR,
                sa.not_(Delivery.dedupe_key.startswith(TOGETHER)),
            )
            .group_by(Delivery.topic)
        )
        for name, count in counts:
            sent[name] = count
    return sent


class _Batch:
    """Collects the announcements of one judgement, then writes them to the outbox."""

    def __init__(self, session: Session, channels: Sequence[str], sent: Counter[str], context: Context) -> None:
        self._session, self._channels, self._sent, self._context = session, channels, sent, context
        self._separate = separate(session)
        self._rows: list[Delivery] = []
        self._together: dict[tuple[str, str, Severity], list[dict[str, Any]]] = {}

    def add(self, alert: Alert, reason: Reason, notice: Notice, also: Sequence[str] = ()) -> None:
        """Put an announcement into the outbox, once for each channel.

        Args:
            also: further channels that get it.
        """
        counted_by, content = topic(alert), notice.model_dump(mode="json")
        channels = list(dict.fromkeys([*self._channels, *also]))
        if self._sent[counted_by] >= self._context.throttle_per_hour:
            for channel in channels:
                if channel not in self._separate:
                    self._together.setdefault((channel, counted_by, notice.severity), []).append(content)
            channels = [channel for channel in channels if channel in self._separate]
        else:
            self._sent[counted_by] += 1
        created_at = self._context.now + len(self._rows) * ORDER
        # A recovery is announced again only after further windows were, and a reminder only after time has passed.
        first = reason in ("fired", "fired_and_recovered")
        stamp = "" if first else f":{alert.covered_until:%Y%m%dT%H%M%S}"
        stamp += f":{self._context.now:%Y%m%dT%H%M%S}" if reason == "still_firing" else ""
        for channel in channels:
            key = f"{alert.id}:{'fired' if first else reason}{stamp}"
            thread, about = thread_id(alert.id), f"{SEPARATE if channel in self._separate else ''}{counted_by}"
            row = new_delivery(KIND, channel, key, notice.severity, about, [content], created_at, thread_id=thread)
            self._rows.append(row)

    def write(self) -> None:
        """Write the rows. Announcements over the limit are added to the row that is sent at the end of the hour."""
        self._session.add_all(self._rows)
        hour = Window.of_hour(self._context.now).start
        for (channel, counted_by, severity), contents in self._together.items():
            # A row that is being sent is complete; further announcements go to a later hour's row.
            for later in itertools.count(1):
                end = hour + later * HOUR
                key = f"{TOGETHER}{end:%Y-%m-%dT%H}:{counted_by}"
                waiting = sa.select(Delivery).where(Delivery.channel == channel, Delivery.dedupe_key == key)
                row = self._session.scalar(waiting.with_for_update())
                if row is None:
                    row = new_delivery(
                        KIND, channel, key, severity, counted_by, contents, self._context.now, not_before=end
                    )
                    self._session.add(row)
                    break
                if row.state == "pending" and row.attempts == 0:
                    row.contents = [*row.contents, *contents]
                    break


def notice_of(alert: Alert, rule: Rule, reason: Reason, context: Context) -> Notice:
    """The facts of an alert, as an announcement would state them."""
    details, ending = alert.details, alert.details.get("ending") or {}
    metric = context.metrics.get(rule.metric) if rule.metric else None
    check = f"/assets/{quote(context.asset)}?view=checks&checkDetail={quote(rule.name)}"
    return Notice.model_validate(
        {
            "reason": reason,
            "alert_id": alert.id,
            "rule": rule.name,
            "description": rule.description,
            "kind": alert.kind,
            "severity": alert.severity,
            "project_id": alert.project_id,
            "project_name": context.project_names.get(alert.project_id, alert.project_id),
            "timezone": context.zones.get(alert.project_id, "UTC"),
            "zones": context.calendar.zones.get(alert.project_id, ()),
            "subject": alert.subject,
            "metric": rule.metric,
            "metric_title": metric.title if metric else rule.metric,
            "unit": metric.unit if metric else None,
            "window": rule.window,
            "operator": rule.operator,
            "against": rule.against,
            "started_at": alert.started_at,
            "ended_at": None if alert.state in OPEN_STATES else alert.ended_at,
            "no_data_since": alert.no_data_since,
            "announced_at": alert.announced_at,
            **{name: details.get(name) for name in ("window_start", "window_end", "value", "baseline", "usual")},
            "threshold": details.get("threshold") or 0,
            "ended_value": ending.get("value"),
            "ended_baseline": ending.get("baseline"),
            "text": details.get("text") or "",
            "is_reminded": rule.renotify_every is not None,
            "check_url": f"{context.ui_url.rstrip('/')}{check}" if context.ui_url else None,
        }
    )
