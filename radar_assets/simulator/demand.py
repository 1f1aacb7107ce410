"""The number of sessions per project and hour, from size, growth, time zone, hour of the week, chance and incidents.

Sessions are numbered consecutively, by project and hour. Their visitors are in `visitors.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from radar_assets.calendar import zone_info
from radar_assets.simulator.clock import HOUR_MS, epoch_ms
from radar_assets.simulator.draws import keys, seed_of, uniform
from radar_assets.simulator.incidents import OUTAGE_TRAFFIC, SPIKE_TRAFFIC, Incident, struck
from radar_assets.simulator.projects import SimulatedProject

# Shares of a day by local hour, and of a week by weekday from Monday.
_HOURS = {
    "work": (3, 2, 1, 1, 2, 5, 12, 30, 62, 84, 90, 86, 70, 82, 88, 84, 74, 56, 38, 28, 22, 16, 10, 5),
    "leisure": (22, 12, 7, 5, 4, 6, 12, 22, 32, 40, 46, 50, 56, 54, 50, 50, 54, 62, 74, 88, 96, 90, 68, 40),
}
_WEEKDAYS = {"work": (100, 106, 104, 100, 86, 28, 24), "leisure": (88, 86, 88, 92, 100, 122, 128)}

_NEW_AT_START, _NEW_IN_THE_END, _HALF_WAY_DAYS = 0.9, 0.42, 4


@dataclass(frozen=True)
class Demand:
    """Sessions by project and hour; a cell is `project * hours + hour`, both counted from 0.

    Attributes:
        start_ms: first hour, in epoch milliseconds.
        first: number of the first session of each cell, followed by the total number of sessions.
        new_share: share of sessions by new visitors, per cell.
    """

    projects: Sequence[SimulatedProject]
    incidents: Sequence[Incident]
    seed: int
    start_ms: int
    hours: int
    first: NDArray[np.int64]
    new_share: NDArray[np.float64]

    @property
    def sessions(self) -> int:
        """Total number of sessions."""
        return int(self.first[-1])

    def cell_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each session."""
        return np.searchsorted(self.first, numbers, side="right") - 1

    def numbers(self, from_hour: int, to_hour: int) -> NDArray[np.int64]:
        """Numbers of the sessions of all projects that start in these hours."""
        edges = self.first[:-1].reshape(-1, self.hours)[:, from_hour]
        ends = self.first[np.arange(len(self.projects)) * self.hours + to_hour]
        return np.concatenate([np.arange(edge, end) for edge, end in zip(edges, ends, strict=True)])


def demand(
    projects: Sequence[SimulatedProject],
    planted: Sequence[Incident],
    *,
    seed: int,
    start: date,
    days: int,
    sessions: float,
) -> Demand:
    """Distribute approximately this number of sessions over the projects and hours."""
    hours = days * 24
    start_ms = epoch_ms(datetime.combine(start, time()))
    cells = np.arange(len(projects) * hours)
    project, clock = cells // hours, start_ms + cells % hours * HOUR_MS
    expected = np.concatenate([_expected(each, start, days) for each in projects])
    chance = keys(seed_of(seed, "luck"), cells)
    expected *= 0.9 + 0.2 * uniform(chance, "hour")
    expected *= 0.95 + 0.1 * uniform(keys(seed_of(seed, "days"), cells // 24), "day")
    new_share = np.tile(
        _NEW_IN_THE_END
        + (_NEW_AT_START - _NEW_IN_THE_END) * _HALF_WAY_DAYS * 24 / (_HALF_WAY_DAYS * 24 + np.arange(hours)),
        len(projects),
    )
    scale = sessions / math.fsum(expected.tolist())
    expected[struck(planted, "outage", projects, project, clock)] *= OUTAGE_TRAFFIC
    spike = struck(planted, "referrer_spike", projects, project, clock)
    expected[spike] *= SPIKE_TRAFFIC
    new_share[spike] = _NEW_AT_START
    counts = np.floor(expected * scale + uniform(chance, "rounding")).astype(np.int64)
    return Demand(projects, planted, seed, start_ms, hours, np.concatenate([[0], np.cumsum(counts)]), new_share)


def _expected(project: SimulatedProject, start: date, days: int) -> NDArray[np.float64]:
    """The project's traffic per hour, relative to an average hour of the first project at the start."""
    by_hour, by_weekday = np.array(_HOURS[project.rhythm]), np.array(_WEEKDAYS[project.rhythm])
    week = np.outer(by_weekday, by_hour).ravel()
    zone, hours_of_week = zone_info(project.timezone), []
    for day in (start + timedelta(days=i) for i in range(days)):
        offset = datetime.combine(day, time(12), zone).utcoffset() or timedelta()
        hours_of_week.append(day.weekday() * 24 + np.arange(24) + offset // timedelta(hours=1))
    growth = 1 + project.weekly_growth * np.arange(days * 24) / (7 * 24)
    return project.size * growth * week[np.concatenate(hours_of_week) % len(week)] * len(week) / week.sum()
