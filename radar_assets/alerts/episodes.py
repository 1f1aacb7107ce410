"""Episodes: groups breaches into runs without a window that kept the rule, and assigns these to alerts.

Pure functions over spans of time and alerts. `ledger.py` stores the result, `announcements.py` announces it.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from radar_assets.store.models import Alert

MAX_GAP = timedelta(days=3)
"""How long an alert continues without judged windows, which is longer than a weekend. A breach after that is a new alert, so that a
backfill of months ago is not joined with today."""


@dataclass(frozen=True, order=True)
class Stretch:
    """Adjacent windows of an alert, or a single window that belongs to no alert yet.

    Attributes:
        owner: id of the alert; None for a new breach.
        is_open: whether its alert has not recovered, so that no window after its end is known to have kept the rule.
    """

    start: datetime
    end: datetime
    owner: str | None = None
    is_open: bool = False


@dataclass(frozen=True)
class Episode:
    """Stretches without a window that kept the rule in between, in order."""

    stretches: tuple[Stretch, ...]

    @property
    def start(self) -> datetime:
        """Start of its first window."""
        return self.stretches[0].start

    @property
    def end(self) -> datetime:
        """End of its last window."""
        return max(stretch.end for stretch in self.stretches)

    @property
    def owners(self) -> set[str]:
        """Ids of the alerts whose windows it contains."""
        return {stretch.owner for stretch in self.stretches if stretch.owner}


def episodes(
    stretches: Sequence[Stretch], kept: Sequence[datetime] = (), unknown: Collection[datetime] = ()
) -> list[Episode]:
    """Group stretches into episodes, in order.

    A window that kept the rule separates episodes. One without enough data does not: within an alert, after one that is firing
    (for up to `MAX_GAP`), or if it was requested and could not be judged.

    Args:
        kept: starts of the windows that kept the rule, in order.
        unknown: starts of the windows that were requested and could not be judged.
    """
    runs: list[list[Stretch]] = []
    end, last = datetime.min, None
    for stretch in sorted(stretches, key=lambda stretch: (stretch.start, stretch.end)):
        if last and (stretch.start <= end or _continues(last, end, stretch, kept, unknown)):
            runs[-1].append(stretch)
        else:
            runs.append([stretch])
        if stretch.end > end:
            end, last = stretch.end, stretch
    return [Episode(tuple(parts)) for parts in runs]


def _continues(
    last: Stretch, end: datetime, stretch: Stretch, kept: Sequence[datetime], unknown: Collection[datetime]
) -> bool:
    """Whether a stretch continues the episode that ended before it, over windows without enough data."""
    place = bisect_left(kept, end)
    if place < len(kept) and kept[place] < stretch.start:
        return False
    if last.owner is not None and last.owner == stretch.owner:
        return True
    if last.is_open and stretch.start - end <= MAX_GAP:
        return True
    step = stretch.end - stretch.start
    return all(end + index * step in unknown for index in range((stretch.start - end) // step))


def assign(episodes: Sequence[Episode], alerts: Sequence[Alert]) -> list[tuple[Episode, Alert | None]]:
    """Assign a project's episodes to its alerts; None for an episode that needs a new alert.

    Announced alerts take precedence: one with the episode's start, else the one announced first. If windows in the middle of an alert
    turn out not to break the rule, the alert keeps the latest part. An announced alert without windows resumes if one of its announced
    windows breaks the rule after all.
    """
    owners = {owner for episode in episodes for owner in episode.owners}
    idle = [alert for alert in alerts if alert.announced_at and alert.id not in owners]
    taken: set[str] = set()
    assigned: dict[Episode, Alert | None] = {}
    for episode in reversed(episodes):
        again = [
            alert for alert in idle if overlaps_announced(alert, episode.start, episode.end) and alert.id not in taken
        ]
        own = [alert for alert in alerts if alert.id in episode.owners - taken]
        # An announced alert that gets no episode keeps its start, which is part of its key, so no other alert may take it.
        same = [alert for alert in [*own, *again] if alert.announced_at and alert.fired_at == episode.start]
        chosen = min(same or [*own, *again], key=_rank, default=None)
        assigned[episode] = chosen
        if chosen:
            taken.add(chosen.id)
    return [(episode, assigned[episode]) for episode in episodes]


def overlaps_announced(alert: Alert, start: datetime, end: datetime) -> bool:
    """Whether any window in a span was announced as part of this alert."""
    return (
        alert.covered_from is not None
        and alert.covered_until is not None
        and alert.covered_from < end
        and start < alert.covered_until
    )


def _rank(alert: Alert) -> tuple[bool, datetime, datetime, str]:
    return alert.announced_at is None, alert.announced_at or datetime.max, alert.started_at, alert.id
