"""Three incidents in the simulated traffic, at known times, for alerting to detect.

Their times and descriptions belong here; their effects on traffic are in `demand.py`, `visitors.py` and `journeys.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radar_assets.calendar import zone_info
from radar_assets.simulator.clock import epoch_ms
from radar_assets.simulator.projects import SimulatedProject, simulated_projects

IncidentName = Literal["outage", "checkout_failure", "referrer_spike"]

MIN_DAYS = 14
OUTAGE_TRAFFIC = 0.1
SPIKE_TRAFFIC = 8
BROKEN_BROWSER = "Mobile Safari"
SPIKE_REFERRER = "daily-dispatch.example"

# Name, rank of its project, start as a share of the days, local hour of the start, duration in hours, description.
_PLAN: tuple[tuple[IncidentName, int, float, int, int, str], ...] = (
    ("outage", 1, 0.6, 13, 2, "the site is down; few events arrive, most of them errors"),
    ("checkout_failure", 0, 0.73, 8, 36, f"payments fail in {BROKEN_BROWSER}"),
    ("referrer_spike", 2, 0.9, 17, 4, f"{SPIKE_REFERRER} sends {SPIKE_TRAFFIC} times the usual traffic"),
)


@dataclass(frozen=True)
class Incident:
    """An incident of one project, from `start` to `end` (naive, UTC, whole hours)."""

    name: IncidentName
    project: str
    start: datetime
    end: datetime
    what: str


def incidents(start: date, days: int, *, projects: int = 3) -> list[Incident]:
    """The incidents that `simulate` plants for the same arguments, in order.

    Traffic of fewer than 14 days has none, because it would not show what is normal.
    """
    if days < MIN_DAYS:
        return []
    cast = simulated_projects(projects)
    planted = []
    for name, rank, through, local_hour, hours, what in _PLAN:
        project = cast[rank % projects]
        local = datetime.combine(
            start + timedelta(days=int(days * through)), time(local_hour), zone_info(project.timezone)
        )
        # Truncated to the hour, because some time zones are half an hour off and demand is hourly.
        begins = local.astimezone(UTC).replace(tzinfo=None, minute=0)
        planted.append(Incident(name, project.id, begins, begins + timedelta(hours=hours), f"{project.name}: {what}"))
    return planted


def struck(
    planted: Sequence[Incident],
    name: IncidentName,
    cast: Sequence[SimulatedProject],
    project: NDArray[np.integer],
    clock: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which times the named incident affects. `project` is an index into `cast`, `clock` is in epoch milliseconds."""
    hit = np.zeros(len(clock), dtype=bool)
    for incident in planted:
        if incident.name == name:
            index = next(i for i, candidate in enumerate(cast) if candidate.id == incident.project)
            hit |= (project == index) & (clock >= epoch_ms(incident.start)) & (clock < epoch_ms(incident.end))
    return hit
