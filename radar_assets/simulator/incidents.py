"""What goes wrong in the simulated traffic: three incidents at known times, planted for alerting to find.

Their place and wording belong here; how they change traffic is in `demand.py`, `visitors.py` and `journeys.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clock import epoch_ms
from radar_assets.simulator.projects import SimulatedProject, simulated_projects

IncidentName = Literal["outage", "checkout_failure", "referrer_spike"]

FEWEST_DAYS = 14
OUTAGE_TRAFFIC = 0.1
SPIKE_TRAFFIC = 8
BROKEN_BROWSER = "Mobile Safari"
SPIKE_REFERRER = "daily-dispatch.example"

# Name, rank of its project, how far through the days it comes, local hour at which it starts, hours that it lasts.
_PLAN: tuple[tuple[IncidentName, int, float, int, int, str], ...] = (
    ("outage", 1, 0.6, 13, 2, "the site is down; few events get through, most of them errors"),
    ("checkout_failure", 0, 0.73, 8, 36, f"nobody can pay in {BROKEN_BROWSER}"),
    ("referrer_spike", 2, 0.9, 17, 4, f"{SPIKE_REFERRER} raises traffic to {SPIKE_TRAFFIC} times the usual"),
)


@dataclass(frozen=True)
class Incident:
    """Something that happened to one project in the hours from `start` to `end` (naive, UTC)."""

    name: IncidentName
    project: str
    start: datetime
    end: datetime
    what: str


def incidents(start: date, days: int, *, projects: int = 3) -> list[Incident]:
    """The incidents that `simulate` plants when given the same arguments, in order.

    There are none in fewer than 14 days, which would not show what is normal.
    """
    if days < FEWEST_DAYS:
        return []
    cast = simulated_projects(projects)
    planted = []
    for name, rank, through, local_hour, hours, what in _PLAN:
        project = cast[rank % projects]
        local = datetime.combine(
            start + timedelta(days=int(days * through)), time(local_hour), ZoneInfo(project.timezone)
        )
        # Cut to the hour, because some zones are half an hour off and demand is made by the hour.
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
    """Which moments the named incident strikes; `project` is a place in `cast`, `clock` epoch milliseconds."""
    hit = np.zeros(len(clock), dtype=bool)
    for incident in planted:
        if incident.name == name:
            place = next(i for i, candidate in enumerate(cast) if candidate.id == incident.project)
            hit |= (project == place) & (clock >= epoch_ms(incident.start)) & (clock < epoch_ms(incident.end))
    return hit
