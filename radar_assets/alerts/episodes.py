"""Episodes: the runs of adjacent windows that breaches make, and which alert each of them is.

Pure functions over spans of time and alerts. `ledger.py` stores the result, `announcements.py` announces it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from radar_assets.store.models import Alert


@dataclass(frozen=True, order=True)
class Stretch:
    """Adjacent windows of an alert, or a single window that belongs to none yet.

    Attributes:
        owner: id of the alert; None for a breach that is new.
    """

    start: datetime
    end: datetime
    owner: str | None = None


@dataclass(frozen=True)
class Episode:
    """Stretches that touch each other, in order."""

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
        """Ids of the alerts that have a part of it."""
        return {stretch.owner for stretch in self.stretches if stretch.owner}


def episodes(stretches: Sequence[Stretch]) -> list[Episode]:
    """The episodes that stretches make, in order. Gaps, whether unknown or without a breach, separate them."""
    runs: list[list[Stretch]] = []
    end = datetime.min
    for stretch in sorted(stretches, key=lambda stretch: (stretch.start, stretch.end)):
        if runs and stretch.start <= end:
            runs[-1].append(stretch)
        else:
            runs.append([stretch])
        end = max(end, stretch.end)
    return [Episode(tuple(parts)) for parts in runs]


def assign(episodes: Sequence[Episode], alerts: Sequence[Alert]) -> list[tuple[Episode, Alert | None]]:
    """Which of a project's alerts each episode is; None for a new one.

    Announced alerts are kept in preference to others, the one announced first before all. If windows in the middle of an alert turn
    out to break no rule, it stays with the latest part, which goes on. An announced alert that had no window left is taken up again
    if one of its announced windows breaks the rule after all.
    """
    owners = {owner for episode in episodes for owner in episode.owners}
    idle = [alert for alert in alerts if alert.announced_at and alert.id not in owners]
    taken: set[str] = set()
    assigned: dict[Episode, Alert | None] = {}
    for episode in reversed(episodes):
        again = [
            alert for alert in idle if overlaps_announced(alert, episode.start, episode.end) and alert.id not in taken
        ]
        # An idle alert keeps its start, which is part of its key, so no other alert may take it.
        same = [alert for alert in again if alert.fired_at == episode.start]
        own = [alert for alert in alerts if alert.id in episode.owners - taken]
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
