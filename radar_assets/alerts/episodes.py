"""Episodes: groups breaches into runs of adjacent windows, and assigns these to alerts.

Pure functions over spans of time and alerts. `ledger.py` stores the result, `announcements.py` announces it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from radar_assets.store.models import Alert


@dataclass(frozen=True, order=True)
class Stretch:
    """Adjacent windows of an alert, or a single window that belongs to no alert yet.

    Attributes:
        owner: id of the alert; None for a new breach.
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
        """Ids of the alerts whose windows it contains."""
        return {stretch.owner for stretch in self.stretches if stretch.owner}


def episodes(stretches: Sequence[Stretch]) -> list[Episode]:
    """Group stretches into episodes, in order. Windows that are unknown or have no breach separate episodes."""
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
    """Assign a project's episodes to its alerts; None for an episode that needs a new alert.

    Announced alerts take precedence, the earliest announced first. If windows in the middle of an alert turn out not to break the
    rule, the alert keeps the latest part. An announced alert without windows resumes if one of its announced windows breaks the
    rule after all.
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
