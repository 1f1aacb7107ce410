"""Merging: the verdicts on a project's windows become its alerts. Nothing here reads or writes the store."""

import math
import uuid
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from radar_assets.alerts.episodes import MAX_GAP, Episode, Stretch, assign, episodes
from radar_assets.alerts.findings import Breach, Findings, Key
from radar_assets.alerts.rules import Rule
from radar_assets.store.models import OPEN_STATES, Alert
from radar_assets.windows import Window


@dataclass
class Changes:
    """What a merge leaves to be written."""

    inserted: list[Alert]
    deleted: list[Alert]
    breaches: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    moved: list[dict[str, Any]]


@dataclass(frozen=True)
class StoredStretch(Stretch):
    """A stored window of an alert, or several of them as one.

    Attributes:
        is_window: whether it is a single window in the judged span; otherwise it covers all windows before or all after the span.
    """

    is_window: bool = False
    value: float | None = None
    threshold: float = 0


def merge(
    findings: Findings,
    key: Key,
    breaches: Sequence[Breach],
    alerts: Sequence[Alert],
    stored: Mapping[str, Sequence[StoredStretch]],
    changes: Changes,
    now: datetime,
) -> tuple[list[Alert], set[str]]:
    """Merge the verdicts on one project into its alerts.

    Returns:
        The alerts after the merge, and the ids of those that have gained a window.
    """
    rule, judged = findings.rule, findings.judged.get(key, ())
    judged_starts = {window.start for window in judged}
    new = {breach.window.start: breach for breach in breaches}
    kept_rule = sorted(judged_starts - new.keys())
    stretches: list[Stretch] = []
    for alert in alerts:
        for stretch in stored.get(alert.id, ()):
            if stretch.is_window and stretch.start in judged_starts and stretch.start not in new:
                changes.dropped.append({"alert": alert.id, "start": stretch.start})
            else:
                stretches.append(replace(stretch, is_open=alert.state != "resolved"))
    kept = {stretch.start: stretch for stretch in stretches if isinstance(stretch, StoredStretch) and stretch.is_window}
    stretches += [Stretch(start, breach.window.end) for start, breach in new.items() if start not in kept]
    # Captured before any of them changes.
    past = {
        alert.id: _Past(
            alert.started_at, alert.fired_at, alert.ended_at, alert.state, alert.no_data_since, alert.details
        )
        for alert in alerts
        if stored.get(alert.id)
    }
    after: list[Alert] = []
    growing: set[str] = set()
    unknown = {window.start for window in findings.asked} - judged_starts
    for episode, known in assign(episodes(stretches, kept_rule, unknown), alerts):
        alert = known or Alert(id=str(uuid.uuid4()), rule=rule.name, project_id=key[0], subject=key[1], updated_at=now)
        if known is None:
            changes.inserted.append(alert)
        after.append(alert)
        set_field(alert, "started_at", _started_at(episode, new, past.values(), rule))
        set_field(alert, "fired_at", episode.start)
        set_field(alert, "ended_at", episode.end)
        if known is None or any(stretch.start in new for stretch in episode.stretches):
            set_field(alert, "kind", rule.kind)
            set_field(alert, "severity", rule.severity)
        _set_state(alert, episode, kept_rule, past, now)
        details = _latest_details(episode, new, kept, past)
        set_field(alert, "details", _ended(details, alert, key, findings, kept_rule))
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
        if alert.state in OPEN_STATES:
            alert.state, alert.resolved_at, alert.no_data_since = "resolved", now, None
    return after, growing


def follow_silence(alert: Alert, silent: Window, now: datetime) -> None:
    """Change the state of an open alert whose metric has no value since its last window, or has one again that can't be judged.

    Args:
        silent: as in `Findings`.
    """
    if alert.state not in OPEN_STATES or silent.end <= alert.ended_at:
        return
    if silent.start == silent.end:
        if alert.no_data_since and alert.no_data_since < silent.end:
            alert.state, alert.no_data_since = "firing", None
        return
    since = max(silent.start, alert.ended_at)
    set_field(alert, "no_data_since", min(since, alert.no_data_since or since))
    if silent.end - alert.ended_at > MAX_GAP:
        alert.state, alert.resolved_at = "ended_without_data", now
    else:
        set_field(alert, "state", "no_data")


@dataclass(frozen=True)
class _Past:
    """An alert before a merge."""

    started_at: datetime
    fired_at: datetime
    ended_at: datetime
    state: str
    no_data_since: datetime | None
    details: Mapping[str, Any]


def _started_at(episode: Episode, new: Mapping[datetime, Breach], past: Collection[_Past], rule: Rule) -> datetime:
    if episode.start in new:
        return new[episode.start].since
    same = next((alert.started_at for alert in past if alert.fired_at == episode.start), None)
    return same or episode.start - (rule.for_windows - 1) * rule.step


def _set_state(
    alert: Alert, episode: Episode, kept_rule: Sequence[datetime], past: Mapping[str, _Past], now: datetime
) -> None:
    """Resolve an alert once a later window was judged that broke no rule; resume it when it gains a later window.

    Otherwise, it has the state of the alert that had its last window.
    """
    last = [past[owner] for owner in episode.owners if past[owner].ended_at == episode.end]
    states = {owner.state for owner in last}
    place = bisect_left(kept_rule, episode.end)
    is_fine = place < len(kept_rule)
    if "ended_without_data" in states:
        # A window long after that kept the rule says nothing about the alert, which is over.
        is_fine = is_fine and kept_rule[place] - episode.end <= MAX_GAP
    ordered = ("resolved", "ended_without_data", "no_data")
    state = "resolved" if is_fine else next((state for state in ordered if state in states), "firing")
    if state != alert.state:
        alert.state = state
        alert.resolved_at = None if state in OPEN_STATES else now
    silences = [owner.no_data_since for owner in last if owner.no_data_since]
    set_field(alert, "no_data_since", None if state in ("firing", "resolved") else min(silences, default=None))


def _latest_details(
    episode: Episode, new: Mapping[datetime, Breach], kept: Mapping[datetime, StoredStretch], past: Mapping[str, _Past]
) -> Mapping[str, Any]:
    """The numbers of the latest window. Those of windows that were not judged stay unchanged."""
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


def _ended(
    details: Mapping[str, Any], alert: Alert, key: Key, findings: Findings, kept_rule: Sequence[datetime]
) -> Mapping[str, Any]:
    """The numbers of the latest window and, once the alert is over, of the first one after it that kept the rule, if known."""
    numbers = {name: value for name, value in details.items() if name != "ending"}
    if alert.state != "resolved":
        return numbers
    place = bisect_left(kept_rule, alert.ended_at)
    at = kept_rule[place] if place < len(kept_rule) else None
    known = details.get("ending")
    if at is None or (known and known["window_start"] <= at.isoformat()):
        return details
    ending = findings.kept.get((key[0], at))
    if ending is None:
        return numbers
    values = {"value": _finite(ending.value), "baseline": _finite(ending.baseline)}
    return {**numbers, "ending": {"window_start": at.isoformat(), **values}}


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


def _equal(stored: StoredStretch | None, breach: Breach) -> bool:
    return stored is not None and (stored.end, stored.value, stored.threshold) == (
        breach.window.end,
        breach.value,
        breach.threshold,
    )


def _finite(value: float | None) -> float | None:
    """A number that JSON can hold, or None."""
    return value if value is not None and math.isfinite(value) else None


def set_field(alert: Alert, field: str, value: Any) -> None:
    if getattr(alert, field, None) != value:
        setattr(alert, field, value)
