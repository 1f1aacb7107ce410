"""The ledger of alerts: findings become episodes in the store, in one transaction with what has to be announced of them.

Whatever the order in which windows are judged, and however often, the same verdicts give the same episodes, and none is
announced twice. What is announced when is in `announcements.py`, what an episode is in `episodes.py`.
"""

import math
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radar_assets.alerts.announcements import announce
from radar_assets.alerts.episodes import Episode, Stretch, assign, episodes
from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.measuring import MEMORY
from radar_assets.alerts.rules import Rule
from radar_assets.metrics.registry import Metric
from radar_assets.store.database import Store
from radar_assets.store.models import Alert, AlertBreach, AlertHour, Delivery, FieldError
from radar_assets.windows import Window

LOCK_KEY = 0x414C455254
"""Postgres advisory lock of those who change alerts: ALERT in ASCII. One for all rules, since what they may announce is counted
for all of them together."""

Key = tuple[str, str]
"""Project id and subject."""


@dataclass(frozen=True)
class Context:
    """What the ledger needs to know beside the findings.

    Attributes:
        max_age: alerts whose latest window ended longer ago are recorded, not announced.
        throttle_per_hour: how many announcements of one project, kind and severity are sent by themselves in an hour.
        ui_url: address of the UI, for links; None where nobody has said it.
        metrics: the registry by name.
        project_names: what people call the projects, by id.
        asset: the asset that the rule's check is on.
    """

    now: datetime
    max_age: timedelta
    throttle_per_hour: int
    ui_url: str | None
    metrics: Mapping[str, Metric]
    project_names: Mapping[str, str]
    asset: str


@dataclass(frozen=True)
class Recorded:
    """How many alerts are new, otherwise changed, ended, and announced (counting each announcement once, whatever its channels)."""

    new: int = 0
    changed: int = 0
    resolved: int = 0
    announced: int = 0


@dataclass
class _Changes:
    """What a merge leaves to be written, in the order in which keys allow it."""

    inserted: list[Alert]
    deleted: list[Alert]
    breaches: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    moved: list[dict[str, Any]]


def record(store: Store, findings: Findings, context: Context) -> Recorded:
    """Merge what was found into the alerts of the rule, and put what is to be announced into the outbox."""
    rule = findings.rule
    span = _span(findings)
    breaches: dict[Key, list[Breach]] = defaultdict(list)
    for breach in findings.breaches:
        breaches[breach.project_id, breach.subject].append(breach)
    if not breaches:
        # The common case changes nothing, and so many rules of one step need not wait for the lock in turn.
        with store.session(read_only=True) as session:
            if session.scalar(sa.select(Alert.id).where(_concerned(rule, span, context)).limit(1)) is None:
                return Recorded()
    with store.session() as session:
        lock(session)
        alerts: dict[Key, list[Alert]] = defaultdict(list)
        for alert in session.scalars(sa.select(Alert).where(_concerned(rule, span, context))):
            alerts[alert.project_id, alert.subject].append(alert)
        before = {alert.id: (alert.fired_at, alert.state) for known in alerts.values() for alert in known}
        stretches = _stored_stretches(session, rule, span, context) if span else {}
        changes = _Changes([], [], [], [], [])
        growing: set[str] = set()
        with session.no_autoflush:
            for key in {*breaches, *(key for key in alerts if findings.judged.get(key))}:
                alerts[key], grown = _merge(
                    findings, key, breaches.get(key, ()), alerts[key], stretches, changes, context.now
                )
                growing |= grown
            for key, known in alerts.items():
                if not findings.judged.get(key):
                    _end_forgotten(known, context.now)
            changed = [alert for alert in session.dirty if isinstance(alert, Alert) and session.is_modified(alert)]
            _write(session, rule, changes, changed)
            announced = announce(session, rule, alerts, growing, context)
        touched = {alert.id: alert for alert in [*changed, *changes.inserted, *(alert for alert, _ in announced)]}
        for alert in touched.values():
            alert.updated_at = context.now
        moments = {alert.fired_at for alert in touched.values()}
        moments |= {before[id][0] for id in [*touched, *(alert.id for alert in changes.deleted)] if id in before}
        mark(session, moments)
        ended = [
            alert
            for alert in touched.values()
            if alert.state == "resolved" and before.get(alert.id, (None, "firing"))[1] == "firing"
        ]
        changed_count = sum(alert not in changes.deleted for alert in changed) + len(changes.deleted)
        return Recorded(len(changes.inserted), changed_count, len(ended), len(announced))


def acknowledge(store: Store, alert_id: str, by: str, now: datetime) -> Alert:
    """Note that somebody looks after an alert; it is not announced again while it lasts.

    Args:
        alert_id: its id, or as much of the id's start as tells it from others.

    Raises:
        FieldError: there is no such alert.
    """
    with store.session() as session:
        alert = _changed_by_hand(session, alert_id, now)
        alert.acknowledged_at, alert.acknowledged_by = now, by
        return alert


def snooze(store: Store, alert_id: str, until: datetime, now: datetime) -> Alert:
    """Announce nothing of an alert until then.

    Raises:
        FieldError: there is no such alert.
    """
    with store.session() as session:
        alert = _changed_by_hand(session, alert_id, now)
        alert.snoozed_until = until
        return alert


def find_alert(session: Session, alert_id: str) -> Alert:
    """The alert with an id, or with the only id that starts so.

    Raises:
        FieldError: there is none, or more than one.
    """
    # Not `like`, whose wildcards are none here.
    matches = session.scalars(
        sa.select(Alert).where(sa.func.substr(Alert.id, 1, len(alert_id)) == alert_id).limit(2)
    ).all()
    if len(matches) != 1 or not alert_id:
        problem = "fits more than one alert; write more of it" if len(matches) > 1 else "is unknown"
        raise FieldError("alert id", alert_id, f"{problem}; radar alerts list shows them")
    return matches[0]


def list_alerts(store: Store, *, with_ended: bool, project_id: str | None = None, limit: int = 50) -> list[Alert]:
    """Alerts, the latest first: those that are firing, or all."""
    found = sa.select(Alert).order_by(Alert.started_at.desc(), Alert.id).limit(limit)
    if not with_ended:
        found = found.where(Alert.state == "firing")
    if project_id is not None:
        found = found.where(Alert.project_id == project_id)
    with store.session(read_only=True) as session:
        return list(session.scalars(found))


def describe(store: Store, alert_id: str) -> tuple[Alert, list[AlertBreach], list[Delivery]]:
    """An alert, its windows in order, and the deliveries that tell of it alone.

    Raises:
        FieldError: there is no such alert.
    """
    with store.session(read_only=True) as session:
        alert = find_alert(session, alert_id)
        breaches = sa.select(AlertBreach).where(AlertBreach.alert_id == alert.id).order_by(AlertBreach.window_start)
        own = sa.func.substr(Delivery.dedupe_key, 1, len(alert.id)) == alert.id
        deliveries = sa.select(Delivery).where(own).order_by(Delivery.created_at, Delivery.channel)
        return alert, list(session.scalars(breaches)), list(session.scalars(deliveries))


def firing_subjects(store: Store, rule: str) -> list[str]:
    """Subjects of the platform's own alerts of a rule that are firing."""
    with store.session(read_only=True) as session:
        return sorted(
            session.scalars(
                sa.select(Alert.subject).where(Alert.rule == rule, Alert.project_id == "", Alert.state == "firing")
            )
        )


def retire(store: Store, rules: Iterable[Rule], now: datetime) -> int:
    """End the alerts that no rule judges any more: theirs is gone or switched off, or leaves their project out.

    Nobody is told, since whoever changed the rules knows.

    Returns:
        How many there were.
    """
    by_name = {rule.name: rule for rule in rules if rule.enabled}
    retired = 0
    with store.session() as session:
        lock(session)
        for alert in session.scalars(sa.select(Alert).where(Alert.state == "firing")):
            rule = by_name.get(alert.rule)
            if rule and (rule.watch or rule.judges(alert.project_id)):
                continue
            alert.state, alert.resolved_at, alert.updated_at = "resolved", now, now
            alert.recovered_at = alert.announced_at and now
            mark(session, [alert.fired_at])
            retired += 1
    return retired


def lock(session: Session) -> None:
    """Be the only one who changes alerts until the transaction ends. On SQLite, every writing transaction is the only one."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))


def mark(session: Session, moments: Collection[datetime]) -> None:
    """Note that alerts that fired in the hours of these moments have changed."""
    hours = sorted({Window.of_hour(moment).start for moment in moments})
    if not hours:
        return
    version = (session.scalar(sa.select(sa.func.max(AlertHour.version))) or 0) + 1
    statement = insert(session, AlertHour)
    statement = statement.on_conflict_do_update(index_elements=["hour"], set_={"version": statement.excluded.version})
    session.execute(statement, [{"hour": hour, "version": version} for hour in hours])


def insert(session: Session, table: type) -> Any:
    """An insert that can say what happens on a conflict, in the words of the session's database."""
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(table)


def _span(findings: Findings) -> Window | None:
    """From the start of the first judged window to the end of the last."""
    ends = [(windows[0].start, windows[-1].end) for windows in findings.judged.values() if windows]
    return Window(min(start for start, _ in ends), max(end for _, end in ends)) if ends else None


def _concerned(rule: Rule, span: Window | None, context: Context) -> sa.ColumnElement[bool]:
    """The alerts of a rule that a judgement of these windows may change, or of which something may be due to be announced."""
    clauses = [
        Alert.state == "firing",
        sa.and_(
            Alert.announced_at.is_not(None),
            Alert.recovered_at.is_(None),
            Alert.resolved_at >= context.now - context.max_age,
        ),
    ]
    if span:
        # Alerts that touch the span, since a new breach joins them.
        clauses.append(sa.and_(Alert.ended_at >= span.start, Alert.fired_at <= span.end))
        clauses.append(sa.and_(Alert.covered_until > span.start, Alert.covered_from < span.end))
    return sa.and_(Alert.rule == rule.name, sa.or_(*clauses))


@dataclass(frozen=True)
class _Stored(Stretch):
    """A window of an alert as it is stored.

    Attributes:
        is_window: whether it is a single window in the span that was judged; else it is all before or after the span.
    """

    is_window: bool = False
    value: float | None = None
    threshold: float = 0


def _stored_stretches(session: Session, rule: Rule, span: Window, context: Context) -> dict[str, list[_Stored]]:
    """What the concerned alerts have, by their id: the windows in the span, and what is before and after it each as one."""
    ids = sa.select(Alert.id).where(_concerned(rule, span, context))
    found: dict[str, list[_Stored]] = defaultdict(list)
    start, end = AlertBreach.window_start, AlertBreach.window_end
    inside = sa.select(AlertBreach.alert_id, start, end, AlertBreach.value, AlertBreach.threshold).where(
        AlertBreach.alert_id.in_(ids), start >= span.start, start < span.end
    )
    for alert_id, first, last, value, threshold in session.execute(inside):
        found[alert_id].append(_Stored(first, last, alert_id, True, value, threshold))
    for beside in (start < span.start, start >= span.end):
        ends = sa.select(AlertBreach.alert_id, sa.func.min(start), sa.func.max(end)).where(
            AlertBreach.alert_id.in_(ids), beside
        )
        for alert_id, first, last in session.execute(ends.group_by(AlertBreach.alert_id)):
            found[alert_id].append(_Stored(first, last, alert_id))
    return found


def _merge(
    findings: Findings,
    key: Key,
    breaches: Sequence[Breach],
    alerts: Sequence[Alert],
    stored: Mapping[str, Sequence[_Stored]],
    changes: _Changes,
    now: datetime,
) -> tuple[list[Alert], set[str]]:
    """Merge the verdicts on one project into its alerts.

    Returns:
        The alerts that there are now, and the ids of those that have a window which they didn't have.
    """
    rule, judged = findings.rule, findings.judged.get(key, ())
    judged_starts = {window.start for window in judged}
    new = {breach.window.start: breach for breach in breaches}
    fine = max((window.start for window in judged if window.start not in new), default=None)
    stretches: list[Stretch] = []
    for alert in alerts:
        for stretch in stored.get(alert.id, ()):
            if stretch.is_window and stretch.start in judged_starts and stretch.start not in new:
                changes.dropped.append({"alert": alert.id, "start": stretch.start})
            else:
                stretches.append(stretch)
    kept = {stretch.start: stretch for stretch in stretches if isinstance(stretch, _Stored) and stretch.is_window}
    stretches += [Stretch(start, breach.window.end) for start, breach in new.items() if start not in kept]
    # Before any of them changes.
    past = {
        alert.id: _Past(alert.started_at, alert.fired_at, alert.ended_at, alert.state, alert.details)
        for alert in alerts
        if stored.get(alert.id)
    }
    after: list[Alert] = []
    growing: set[str] = set()
    for episode, known in assign(episodes(stretches), alerts):
        alert = known or Alert(id=str(uuid.uuid4()), rule=rule.name, project_id=key[0], subject=key[1], updated_at=now)
        if known is None:
            changes.inserted.append(alert)
        after.append(alert)
        _set(alert, "started_at", _started_at(episode, new, past.values(), rule))
        _set(alert, "fired_at", episode.start)
        _set(alert, "ended_at", episode.end)
        if known is None or any(stretch.start in new for stretch in episode.stretches):
            _set(alert, "kind", rule.kind)
            _set(alert, "severity", rule.severity)
        _set(alert, "details", _latest_details(episode, new, kept, past))
        _set_state(alert, episode, fine, past, now)
        for stretch in episode.stretches:
            breach = new.get(stretch.start)
            if breach and not _equal(kept.get(stretch.start), breach):
                changes.breaches.append(_row(breach, alert.id))
            if stretch.owner is None:
                growing.add(alert.id)
            elif stretch.owner != alert.id:
                changes.moved.append(
                    {"alert": stretch.owner, "to": alert.id, "start": stretch.start, "end": stretch.end}
                )
    for alert in alerts:
        if alert in after:
            continue
        if alert.announced_at is None:
            changes.deleted.append(alert)
            continue
        after.append(alert)
        if alert.state == "firing":
            alert.state, alert.resolved_at = "resolved", now
    return after, growing


@dataclass(frozen=True)
class _Past:
    """What an alert was before a merge."""

    started_at: datetime
    fired_at: datetime
    ended_at: datetime
    state: str
    details: Mapping[str, Any]


def _started_at(episode: Episode, new: Mapping[datetime, Breach], past: Collection[_Past], rule: Rule) -> datetime:
    if episode.start in new:
        return new[episode.start].since
    same = next((alert.started_at for alert in past if alert.fired_at == episode.start), None)
    return same or episode.start - (rule.for_windows - 1) * rule.step


def _set_state(alert: Alert, episode: Episode, fine: datetime | None, past: Mapping[str, _Past], now: datetime) -> None:
    """An alert is over once a later window was judged that broke no rule, and on again when it has a later window than then."""
    last = [past[owner] for owner in episode.owners if past[owner].ended_at == episode.end]
    is_over = (fine is not None and fine >= episode.end) or any(owner.state == "resolved" for owner in last)
    if is_over and alert.state != "resolved":
        alert.state, alert.resolved_at = "resolved", now
    elif not is_over and alert.state != "firing":
        alert.state, alert.resolved_at = "firing", None


def _latest_details(
    episode: Episode, new: Mapping[datetime, Breach], kept: Mapping[datetime, _Stored], past: Mapping[str, _Past]
) -> Mapping[str, Any]:
    """The numbers of the latest window. Those of windows that were not judged stay as they are."""
    last = max(episode.stretches, key=lambda stretch: (stretch.end, stretch.start))
    if last.start in new:
        return _details(new[last.start])
    for owner in episode.owners:
        if past[owner].details.get("window_end") == last.end.isoformat():
            return past[owner].details
    window = kept.get(last.start)
    return {
        "window_start": last.start.isoformat(),
        "window_end": last.end.isoformat(),
        "value": _finite(window.value) if window else None,
        "threshold": window.threshold if window else 0,
    }


def _details(breach: Breach) -> dict[str, Any]:
    return {
        "window_start": breach.window.start.isoformat(),
        "window_end": breach.window.end.isoformat(),
        "value": _finite(breach.value),
        "threshold": _finite(breach.threshold),
        "baseline": _finite(breach.baseline),
        "usual": list(breach.usual) if breach.usual and all(map(math.isfinite, breach.usual)) else None,
        "text": breach.text.replace("\0", ""),
    }


def _row(breach: Breach, alert_id: str) -> dict[str, Any]:
    return {
        "alert_id": alert_id,
        "window_start": breach.window.start,
        "window_end": breach.window.end,
        "value": breach.value,
        "threshold": breach.threshold,
    }


def _end_forgotten(alerts: Iterable[Alert], now: datetime) -> None:
    """End alerts of a project that has been gone for so long that nothing will judge it.

    Nobody is told: that it is fine again is more than anybody knows.
    """
    for alert in alerts:
        if alert.state == "firing" and alert.ended_at < now - MEMORY:
            alert.state, alert.resolved_at = "resolved", now
            alert.recovered_at = alert.announced_at and now


def _equal(stored: _Stored | None, breach: Breach) -> bool:
    return stored is not None and (stored.end, stored.value, stored.threshold) == (
        breach.window.end,
        breach.value,
        breach.threshold,
    )


def _finite(value: float | None) -> float | None:
    """A number as JSON has it."""
    return value if value is not None and math.isfinite(value) else None


def _set(alert: Alert, field: str, value: Any) -> None:
    if getattr(alert, field, None) != value:
        setattr(alert, field, value)


def _write(session: Session, rule: Rule, changes: _Changes, changed: Sequence[Alert]) -> None:
    """Write what a merge leaves, in an order in which no two alerts have the same key at any moment."""
    connection, breaches = session.connection(), AlertBreach.__table__
    id, start = sa.bindparam("alert"), sa.bindparam("start")
    same = (breaches.c.alert_id == id) & (breaches.c.window_start >= start)
    moving = (
        sa.update(AlertBreach)
        .values(alert_id=sa.bindparam("to"))
        .where(same, breaches.c.window_start < sa.bindparam("end"))
    )
    if changes.dropped:
        dropping = sa.delete(AlertBreach).where(breaches.c.alert_id == id, breaches.c.window_start == start)
        connection.execute(dropping, changes.dropped)
    fresh = {alert.id for alert in changes.inserted}
    if early := [move for move in changes.moved if move["to"] not in fresh]:
        connection.execute(moving, early)
    for alert in changes.deleted:
        session.delete(alert)
    _make_keys_unique(session, rule, changes, changed)
    session.flush()
    session.add_all(changes.inserted)
    session.flush()
    if late := [move for move in changes.moved if move["to"] in fresh]:
        connection.execute(moving, late)
    if changes.breaches:
        statement = insert(session, AlertBreach)
        given = {name: statement.excluded[name] for name in ("window_end", "value", "threshold")}
        statement = statement.on_conflict_do_update(index_elements=["alert_id", "window_start"], set_=given)
        connection.execute(statement, changes.breaches)


def _make_keys_unique(session: Session, rule: Rule, changes: _Changes, changed: Sequence[Alert]) -> None:
    """Move starts that another alert has by some microseconds, as they may be after a rule has changed, and let alerts swap theirs."""
    moving = [alert for alert in changed if _is_moving(alert) and alert not in changes.deleted]
    wanted = [*moving, *changes.inserted]
    if not wanted:
        return
    gone = {alert.id for alert in [*moving, *changes.deleted]}
    first, last = min(alert.started_at for alert in wanted), max(alert.started_at for alert in wanted)
    stored = session.execute(
        sa.select(Alert.id, Alert.project_id, Alert.subject, Alert.started_at).where(
            Alert.rule == rule.name, Alert.started_at.between(first, last)
        )
    )
    taken = {(project, subject, start) for id, project, subject, start in stored if id not in gone}
    for alert in wanted:
        start = alert.started_at
        while (alert.project_id, alert.subject, start) in taken:
            start += timedelta(microseconds=1)
        _set(alert, "started_at", start)
        taken.add((alert.project_id, alert.subject, start))
    # One that was moved before may have come back to where it is stored.
    if gone := {alert.id for alert in [*filter(_is_moving, moving), *changes.deleted]}:
        out_of_the_way = [
            {"alert": id, "aside": datetime(1, 1, 1) + timedelta(microseconds=place)}
            for place, id in enumerate(sorted(gone))
        ]
        session.connection().execute(
            sa.update(Alert)
            .values(started_at=sa.bindparam("aside"))
            .where(Alert.__table__.c.id == sa.bindparam("alert")),
            out_of_the_way,
        )


def _is_moving(alert: Alert) -> bool:
    return sa.inspect(alert).attrs.started_at.history.has_changes()


def _changed_by_hand(session: Session, alert_id: str, now: datetime) -> Alert:
    lock(session)
    alert = find_alert(session, alert_id)
    alert.updated_at = now
    mark(session, [alert.fired_at])
    return alert
