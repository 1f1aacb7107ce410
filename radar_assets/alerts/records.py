"""Alerts in the store: finding and listing them, the lock under which they change, what people change (acknowledge, snooze), the
windows that wait for data, and the removal of old alerts.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.findings import Breach
from radar_assets.alerts.rendering import thread_id
from radar_assets.store.database import Store, find_by_id
from radar_assets.store.dialects import insert, lock
from radar_assets.store.models import OPEN_STATES, Alert, AlertBreach, AlertHour, Delivery, WaitingWindow
from radar_assets.windows import Window

LOCK_KEY = 0x414C455254
"""Postgres advisory lock for changing alerts: ALERT in ASCII. One for all rules, since the hourly limit counts all announcements."""
REMOVED_AT_ONCE = 500
"""Alerts that are removed per transaction, so that rules don't wait for long."""


def acknowledge(store: Store, alert_id: str, by: str, now: datetime) -> Alert:
    """Acknowledge an alert; no reminders of it are sent while it lasts.

    Args:
        alert_id: its id, or an unambiguous start of it.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    with store.session() as session:
        alert = _changed_by_hand(session, alert_id, now)
        alert.acknowledged_at, alert.acknowledged_by = now, by
        return alert


def snooze(store: Store, alert_id: str, until: datetime, now: datetime) -> Alert:
    """Announce nothing about an alert until a time.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    with store.session() as session:
        alert = _changed_by_hand(session, alert_id, now)
        alert.snoozed_until = until
        return alert


def acknowledge_first(store: Store, alert_id: str, by: str, now: datetime) -> tuple[Alert, bool]:
    """Acknowledge an alert that has not ended and that no one has acknowledged. Returns it, and whether this changed it.

    Raises:
        FieldError: the id is unknown.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        alert = find_alert(session, alert_id)
        if not can_acknowledge(alert):
            return alert, False
        _changed_by_hand(session, alert_id, now)
        alert.acknowledged_at, alert.acknowledged_by = now, by
        return alert, True


def snooze_first(store: Store, alert_id: str, until: datetime, now: datetime) -> tuple[Alert, bool]:
    """Announce nothing about an alert until a time, if it has not ended and is not snoozed. Returns it, and whether this changed it.

    Raises:
        FieldError: the id is unknown.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        alert = find_alert(session, alert_id)
        if not can_snooze(alert, now):
            return alert, False
        _changed_by_hand(session, alert_id, now)
        alert.snoozed_until = until
        return alert, True


def can_acknowledge(alert: Alert) -> bool:
    """Whether an alert has not ended and is not acknowledged."""
    return alert.state in OPEN_STATES and alert.acknowledged_at is None


def can_snooze(alert: Alert, now: datetime) -> bool:
    """Whether an alert has not ended and is not snoozed."""
    return alert.state in OPEN_STATES and (alert.snoozed_until is None or alert.snoozed_until <= now)


def find_alert(session: Session, alert_id: str) -> Alert:
    """The alert with an id, or the only one whose id starts with it.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    return find_by_id(session, Alert, alert_id, "alert id", "radar alerts list --all")


Shown = Literal["open", "unacknowledged", "ended", "all"]
"""Which alerts are listed."""


def list_alerts(
    store: Store,
    *,
    shown: Shown = "open",
    project_id: str | None = None,
    visible: Collection[str] | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[Alert]:
    """Alerts, the latest first.

    Args:
        visible: ids of projects; alerts of others and of the platform are left out. None: all are listed.
    """
    query = sa.select(Alert).order_by(Alert.started_at.desc(), Alert.id).limit(limit).offset(offset)
    if shown in ("open", "unacknowledged"):
        query = query.where(Alert.state.in_(OPEN_STATES))
    if shown == "unacknowledged":
        query = query.where(Alert.acknowledged_at.is_(None))
    if shown == "ended":
        query = query.where(Alert.state.not_in(OPEN_STATES))
    if project_id is not None:
        query = query.where(Alert.project_id == project_id)
    if visible is not None:
        query = query.where(Alert.project_id.in_(sorted(visible)))
    with store.session(read_only=True) as session:
        return list(session.scalars(query))


def describe(store: Store, alert_id: str) -> tuple[Alert, list[AlertBreach], list[Delivery]]:
    """An alert, its windows in order, and the deliveries about it alone.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    with store.session(read_only=True) as session:
        alert = find_alert(session, alert_id)
        breaches = sa.select(AlertBreach).where(AlertBreach.alert_id == alert.id).order_by(AlertBreach.window_start)
        own = Delivery.thread_id == thread_id(alert.id)
        deliveries = sa.select(Delivery).where(own).order_by(Delivery.created_at, Delivery.channel)
        return alert, list(session.scalars(breaches)), list(session.scalars(deliveries))


def starts(store: Store, rule: str, breaches: Sequence[Breach]) -> dict[tuple[str, str, datetime], datetime]:
    """When the alerts of a rule began that some breaches belong to, by project, subject and start of the window."""
    if not breaches:
        return {}
    start = AlertBreach.window_start
    query = (
        sa.select(Alert.project_id, Alert.subject, start, Alert.started_at)
        .join(AlertBreach, AlertBreach.alert_id == Alert.id)
        .where(Alert.rule == rule, start.in_({breach.window.start for breach in breaches}))
    )
    with store.session(read_only=True) as session:
        return {(project, subject, window): began for project, subject, window, began in session.execute(query)}


def firing_subjects(store: Store, rule: str) -> list[str]:
    """Subjects of the open platform alerts of a rule."""
    with store.session(read_only=True) as session:
        return sorted(
            session.scalars(
                sa.select(Alert.subject).where(Alert.rule == rule, Alert.project_id == "", Alert.state.in_(OPEN_STATES))
            )
        )


def firing_projects(store: Store) -> list[tuple[str, str]]:
    """Rules and project ids of the open alerts of projects."""
    with store.session(read_only=True) as session:
        query = (
            sa.select(Alert.rule, Alert.project_id)
            .where(Alert.state.in_(OPEN_STATES), Alert.project_id != "")
            .distinct()
        )
        return [(rule, project) for rule, project in session.execute(query)]


def waiting_windows(store: Store) -> list[datetime]:
    """Starts of the five-minute windows that could not be judged yet."""
    with store.session(read_only=True) as session:
        return list(session.scalars(sa.select(WaitingWindow.start).order_by(WaitingWindow.start)))


def wait_for(store: Store, starts: Collection[datetime], known: Collection[datetime]) -> None:
    """Replace the known waiting windows by these."""
    gone, new = sorted(set(known).difference(starts)), sorted(set(starts).difference(known))
    if not gone and not new:
        return
    with store.session() as session:
        if gone:
            session.execute(sa.delete(WaitingWindow).where(WaitingWindow.start.in_(gone)))
        if new:
            statement = insert(session, WaitingWindow).on_conflict_do_nothing(index_elements=["start"])
            session.execute(statement, [{"start": start} for start in new])


def mark(session: Session, moments: Collection[datetime]) -> None:
    """Mark the hours of these moments as ones in which alerts have changed."""
    hours = sorted({Window.of_hour(moment).start for moment in moments})
    if not hours:
        return
    version = (session.scalar(sa.select(sa.func.max(AlertHour.version))) or 0) + 1
    statement = insert(session, AlertHour)
    statement = statement.on_conflict_do_update(index_elements=["hour"], set_={"version": statement.excluded.version})
    session.execute(statement, [{"hour": hour, "version": version} for hour in hours])


def remove_old(store: Store, before: datetime) -> int:
    """Remove alerts whose end lies before then and was recorded before then, with their windows. Returns how many.

    The table `alerts` keeps them: hours are removed as a whole, and are not built again. Hours in which an alert fired that stays
    are left alone.
    """
    is_old = sa.and_(Alert.state.not_in(OPEN_STATES), Alert.ended_at < before, Alert.resolved_at < before)
    removed = 0
    while True:
        with store.session() as session:
            lock(session, LOCK_KEY)
            staying = session.scalars(sa.select(Alert.fired_at).where(Alert.fired_at < before, sa.not_(is_old)))
            held = {Window.of_hour(at).start for at in staying}
            old = session.execute(sa.select(Alert.id, Alert.fired_at).where(is_old).order_by(Alert.fired_at))
            chosen = [(key, hour) for key, at in old if (hour := Window.of_hour(at).start) not in held]
            chosen = chosen[:REMOVED_AT_ONCE]
            ids, hours = [key for key, _ in chosen], {hour for _, hour in chosen}
            session.execute(sa.delete(AlertBreach).where(AlertBreach.alert_id.in_(ids)))
            session.execute(sa.delete(Alert).where(Alert.id.in_(ids)))
            # The last version stays, because versions only increase.
            latest = sa.select(sa.func.max(AlertHour.version)).scalar_subquery()
            session.execute(sa.delete(AlertHour).where(AlertHour.hour.in_(hours), AlertHour.version < latest))
        removed += len(ids)
        if len(ids) < REMOVED_AT_ONCE:
            return removed


def _changed_by_hand(session: Session, alert_id: str, now: datetime) -> Alert:
    lock(session, LOCK_KEY)
    alert = find_alert(session, alert_id)
    alert.updated_at = now
    mark(session, [alert.fired_at])
    return alert
