"""The ledger of alerts: records findings as alerts in the store, in one transaction with their announcements.

The same verdicts give the same alerts, however often and in whatever order windows are judged, and no alert is announced twice.
`merging.py` turns verdicts into alerts, and `announcements.py` decides when they are announced.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.announcements import Context, announce
from radar_assets.alerts.episodes import MAX_GAP
from radar_assets.alerts.findings import Breach, Findings, Key
from radar_assets.alerts.measuring import MEMORY
from radar_assets.alerts.merging import Changes, StoredStretch, follow_silence, merge, set_field
from radar_assets.alerts.records import LOCK_KEY, mark
from radar_assets.alerts.rules import Rule
from radar_assets.store.database import Store
from radar_assets.store.dialects import insert, lock
from radar_assets.store.models import OPEN_STATES, Alert, AlertBreach
from radar_assets.windows import Window


@dataclass(frozen=True)
class Recorded:
    """Numbers of new, changed, ended and announced alerts; an announcement counts once, however many channels it goes to."""

    new: int = 0
    changed: int = 0
    resolved: int = 0
    announced: int = 0


def record(store: Store, findings: Findings, context: Context) -> Recorded:
    """Merge findings into the alerts of the rule, and put the announcements that are due into the outbox."""
    rule = findings.rule
    span = _span(findings)
    breaches: dict[Key, list[Breach]] = defaultdict(list)
    for breach in findings.breaches:
        breaches[breach.project_id, breach.subject].append(breach)
    if not breaches:
        # The common case changes nothing, so most rules of a step need not wait for the lock.
        with store.session(read_only=True) as session:
            if session.scalar(sa.select(Alert.id).where(_concerned(rule, span, context)).limit(1)) is None:
                return Recorded()
    with store.session() as session:
        lock(session, LOCK_KEY)
        reach = _reach(session, rule, span)
        alerts: dict[Key, list[Alert]] = defaultdict(list)
        for alert in session.scalars(sa.select(Alert).where(_concerned(rule, reach, context))):
            alerts[alert.project_id, alert.subject].append(alert)
        before = {alert.id: (alert.fired_at, alert.state) for known in alerts.values() for alert in known}
        stretches = _stored_stretches(session, span, _concerned(rule, reach, context)) if span else {}
        changes = Changes([], [], [], [], [])
        growing: set[str] = set()
        with session.no_autoflush:
            for key in {*breaches, *(key for key in alerts if findings.judged.get(key))}:
                alerts[key], grown = merge(
                    findings, key, breaches.get(key, ()), alerts[key], stretches, changes, context.now
                )
                growing |= grown
            for key, known in alerts.items():
                if silent := findings.silent.get(key):
                    for alert in known:
                        follow_silence(alert, silent, context.now)
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
            if alert.state not in OPEN_STATES and before.get(alert.id, (None, "firing"))[1] in OPEN_STATES
        ]
        changed_count = sum(alert not in changes.deleted for alert in changed) + len(changes.deleted)
        return Recorded(len(changes.inserted), changed_count, len(ended), len(announced))


def retire(store: Store, rules: Iterable[Rule], now: datetime) -> int:
    """End alerts that no rule judges any more, because their rule was removed or disabled, or excludes their project.

    No recovery is announced: the people who changed the rules know.

    Returns:
        The number of ended alerts.
    """
    with store.session() as session:
        lock(session, LOCK_KEY)
        retired = _unjudged(session, rules)
        for alert in retired:
            alert.state, alert.no_data_since, alert.resolved_at, alert.updated_at = "resolved", None, now, now
            alert.recovered_at = alert.announced_at and now
            mark(session, [alert.fired_at])
    return len(retired)


def to_retire(store: Store, rules: Iterable[Rule]) -> list[Alert]:
    """The alerts that `retire` would end."""
    with store.session(read_only=True) as session:
        return _unjudged(session, rules)


def _unjudged(session: Session, rules: Iterable[Rule]) -> list[Alert]:
    """Open alerts that none of the rules judges."""
    by_name = {rule.name: rule for rule in rules if rule.enabled}
    firing = session.scalars(sa.select(Alert).where(Alert.state.in_(OPEN_STATES)).order_by(Alert.started_at, Alert.id))
    return [
        alert
        for alert in firing
        if not ((rule := by_name.get(alert.rule)) and (rule.watch or rule.judges(alert.project_id)))
    ]


def _span(findings: Findings) -> Window | None:
    """From the start of the first judged window to the end of the last."""
    ends = [(windows[0].start, windows[-1].end) for windows in findings.judged.values() if windows]
    return Window(min(start for start, _ in ends), max(end for _, end in ends)) if ends else None


def _reach(session: Session, rule: Rule, span: Window | None) -> Window | None:
    """The span together with the alerts that touch it, since a new breach joins them."""
    if span is None:
        return None
    start, end = session.execute(
        sa.select(sa.func.min(Alert.fired_at), sa.func.max(Alert.ended_at)).where(
            Alert.rule == rule.name, Alert.ended_at >= span.start, Alert.fired_at <= span.end
        )
    ).one()
    return Window(min(start or span.start, span.start), max(end or span.end, span.end))


def _concerned(rule: Rule, reach: Window | None, context: Context) -> sa.ColumnElement[bool]:
    """The alerts of a rule that a judgement may change, or that may be due for an announcement."""
    clauses = [
        Alert.state.in_(OPEN_STATES),
        sa.and_(
            Alert.announced_at.is_not(None),
            Alert.recovered_at.is_(None),
            Alert.resolved_at >= context.now - context.max_age,
        ),
    ]
    if reach:
        clauses.append(sa.and_(Alert.ended_at >= reach.start, Alert.fired_at <= reach.end))
        # Late events may show what became of an alert after it ended without data.
        began_before = sa.and_(Alert.ended_at >= reach.start - MAX_GAP, Alert.fired_at <= reach.end)
        clauses.append(sa.and_(Alert.state == "ended_without_data", began_before))
        # Alerts that have announced these windows, even if they no longer contain them.
        clauses.append(sa.and_(Alert.covered_until > reach.start, Alert.covered_from < reach.end))
    return sa.and_(Alert.rule == rule.name, sa.or_(*clauses))


def _stored_stretches(
    session: Session, span: Window, concerned: sa.ColumnElement[bool]
) -> dict[str, list[StoredStretch]]:
    """The stretches of the concerned alerts, by id: the windows in the span, and those before and after it as one each."""
    ids = sa.select(Alert.id).where(concerned)
    stretches: dict[str, list[StoredStretch]] = defaultdict(list)
    start, end = AlertBreach.window_start, AlertBreach.window_end
    inside = sa.select(AlertBreach.alert_id, start, end, AlertBreach.value, AlertBreach.threshold).where(
        AlertBreach.alert_id.in_(ids), start >= span.start, start < span.end
    )
    for alert_id, first, last, value, threshold in session.execute(inside):
        stretches[alert_id].append(StoredStretch(first, last, alert_id, True, value, threshold))
    for beside in (start < span.start, start >= span.end):
        ends = sa.select(AlertBreach.alert_id, sa.func.min(start), sa.func.max(end)).where(
            AlertBreach.alert_id.in_(ids), beside
        )
        for alert_id, first, last in session.execute(ends.group_by(AlertBreach.alert_id)):
            stretches[alert_id].append(StoredStretch(first, last, alert_id))
    return stretches


def _end_forgotten(alerts: Iterable[Alert], now: datetime) -> None:
    """End alerts that nothing has judged for so long that nothing will."""
    for alert in alerts:
        if alert.state in OPEN_STATES and alert.ended_at < now - MEMORY:
            alert.state, alert.resolved_at = "ended_without_data", now


def _write(session: Session, rule: Rule, changes: Changes, changed: Sequence[Alert]) -> None:
    """Write the changes in an order in which no two alerts have the same key at any moment."""
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


def _make_keys_unique(session: Session, rule: Rule, changes: Changes, changed: Sequence[Alert]) -> None:
    """Shift starts that another alert has by microseconds, as can happen after a rule has changed, and let alerts swap theirs."""
    moving = [alert for alert in changed if _is_moving(alert) and alert not in changes.deleted]
    wanted = [*moving, *changes.inserted]
    if not wanted:
        return
    gone = {alert.id for alert in [*moving, *changes.deleted]}
    first, last = min(alert.started_at for alert in wanted), max(alert.started_at for alert in wanted)
    stored = session.execute(
        sa.select(Alert.id, Alert.project_id, Alert.subject, Alert.started_at).where(
            # Beyond the last: other alerts may have been shifted to just after it.
            Alert.rule == rule.name,
            Alert.started_at.between(first, last + timedelta(seconds=1)),
        )
    )
    taken = {(project, subject, start) for id, project, subject, start in stored if id not in gone}
    for alert in wanted:
        start = alert.started_at
        while (alert.project_id, alert.subject, start) in taken:
            start += timedelta(microseconds=1)
        set_field(alert, "started_at", start)
        taken.add((alert.project_id, alert.subject, start))
    # An alert that was shifted before may be back at its stored start.
    if gone := {alert.id for alert in [*filter(_is_moving, moving), *changes.deleted]}:
        out_of_the_way = [
            {"alert": id, "aside": datetime(1, 1, 1) + timedelta(microseconds=index)}
            for index, id in enumerate(sorted(gone))
        ]
        session.connection().execute(
            sa.update(Alert)
            .values(started_at=sa.bindparam("aside"))
            .where(Alert.__table__.c.id == sa.bindparam("alert")),
            out_of_the_way,
        )


def _is_moving(alert: Alert) -> bool:
    return sa.inspect(alert).attrs.started_at.history.has_changes()
