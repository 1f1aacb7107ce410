"""The simulator: traffic of some projects over some days, hour by hour as the collector would have received it.

`simulate` is the way in. It only puts the stages together: demand, visitors, journeys, delivery, lines.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import Kind
from radar_assets.simulator.clock import HOUR_MS, moment_of
from radar_assets.simulator.delivery import EVENT, Shares, deliver
from radar_assets.simulator.demand import Demand, demand
from radar_assets.simulator.draws import seed_of
from radar_assets.simulator.incidents import incidents
from radar_assets.simulator.journeys import walk
from radar_assets.simulator.lines import Lines, ndjson
from radar_assets.simulator.projects import SimulatedProject, simulated_projects
from radar_assets.simulator.visitors import KINDS, arrivals

_SAMPLE_SESSIONS = 20_000
_SAMPLE_LINES = 20_000
_SPAN_SESSIONS = 25_000
_BLOCK_LINES = 50_000


class SimulatedSegment(NamedTuple):
    """A segment to land: the hour it was received in (naive, UTC), its name without suffix, its lines."""

    hour: datetime
    name: str
    lines: bytes


def simulate(
    start: date,
    days: int,
    *,
    projects: int = 3,
    events: int = 500_000,
    seed: int = 0,
    event_bytes: int | None = None,
    late_share: float = 0.01,
    duplicate_share: float = 0.005,
    malformed_share: float = 0.0002,
) -> Iterator[SimulatedSegment]:
    """Make traffic that looks like that of real sites; the same arguments give the same bytes on any machine.

    Segments come in the order of their hours, one or more an hour, none for an hour without events. What would be
    received after the last day is left out, so that the end is like the present. Memory does not grow with `days`.

    Args:
        start: first day (UTC).
        events: about how many events there are in all; what comes out differs by a few percent.
        event_bytes: mean length of a line, reached by more or less context; by default some 640.
        late_share: share of events that are received hours to three days late, from apps that were offline.
        duplicate_share: share of events that are sent twice.
        malformed_share: share of lines that no contract should accept.

    Raises:
        ValueError: an argument is out of range; the message names it.
    """
    _require(days >= 1, f"days={days}: there has to be at least one")
    _require(events >= 1, f"events={events}: there has to be at least one")
    shares = {"late_share": late_share, "duplicate_share": duplicate_share, "malformed_share": malformed_share}
    for name, share in shares.items():
        _require(0 <= share <= 1, f"{name}={share}: a share is between 0 and 1")
    cast = simulated_projects(projects)
    identity = seed_of(start.isoformat(), days, projects, events, seed, event_bytes, *shares.values())
    planted = incidents(start, days, projects=projects)

    sample = _sample(demand(cast, planted, seed=identity, start=start, days=days, sessions=2 * _SAMPLE_SESSIONS))
    per_session = len(sample) / _SAMPLE_SESSIONS
    from_apps = np.count_nonzero(KINDS[sample["client"]] == Kind.APP) / len(sample)
    flaws = Shares(late_share / from_apps if from_apps else 0, duplicate_share, malformed_share)
    lines = _lines_of(cast, sample, event_bytes)
    wanted = demand(cast, planted, seed=identity, start=start, days=days, sessions=events / per_session)
    return _segments(wanted, flaws, lines, f"simulated-{identity:016x}")


def _segments(wanted: Demand, flaws: Shares, lines: Lines, name: str) -> Iterator[SimulatedSegment]:
    on_the_way = np.empty(0, EVENT)
    for from_hour, to_hour in _spans(wanted):
        sessions = arrivals(wanted, wanted.numbers(from_hour, to_hour))
        on_the_way = np.concatenate([on_the_way, deliver(sessions, walk(wanted, sessions), flaws)])
        # By key as well, so that the order does not depend on how the hours were grouped.
        on_the_way = on_the_way.take(np.lexsort((on_the_way["key"], on_the_way["received"])))
        due, end = np.searchsorted(
            on_the_way["received"], wanted.start_ms + np.array([to_hour, wanted.hours]) * HOUR_MS
        )
        arrived, on_the_way = on_the_way[:due], on_the_way[due:end].copy()
        for begin in range(0, len(arrived), _BLOCK_LINES):
            block = arrived[begin : begin + _BLOCK_LINES]
            text, hour = lines.render(block), (block["received"] - wanted.start_ms) // HOUR_MS
            edges = [0, *(np.flatnonzero(np.diff(hour)) + 1).tolist(), len(block)]
            for first, last in pairwise(edges):
                received = moment_of(wanted.start_ms + int(hour[first]) * HOUR_MS)
                yield SimulatedSegment(
                    received, f"{name}-{begin // _BLOCK_LINES:03d}", ndjson(text[first:last], block[first:last])
                )


def _spans(wanted: Demand) -> Iterator[tuple[int, int]]:
    """Hours in groups that are worth a round of array operations and still fit into memory."""
    by_hour = np.diff(wanted.first).reshape(-1, wanted.hours).sum(axis=0)
    begin, sessions = 0, 0
    for hour, count in enumerate(by_hour.tolist()):
        if sessions and sessions + count > _SPAN_SESSIONS:
            yield begin, hour
            begin, sessions = hour, 0
        sessions += count
    yield begin, wanted.hours


def _sample(rough: Demand) -> NDArray:
    """The events of sessions spread evenly over the whole, as they would be without flaws."""
    sessions = arrivals(rough, np.arange(_SAMPLE_SESSIONS) * rough.sessions // _SAMPLE_SESSIONS)
    return deliver(sessions, walk(rough, sessions), Shares(0, 0, 0))


def _lines_of(cast: Sequence[SimulatedProject], sample: NDArray, event_bytes: int | None) -> Lines:
    """What writes lines of this mean length."""
    if event_bytes is None:
        return Lines(cast)
    some, mean = sample[:: max(1, len(sample) // _SAMPLE_LINES)], 0
    for lean in (False, True):
        mean = len(ndjson(Lines(cast, lean=lean).render(some), some)) / len(some)
        if mean <= event_bytes:
            return Lines(cast, lean=lean, more_bytes=round(event_bytes - mean))
    raise ValueError(f"event_bytes={event_bytes}: events of this kind take {mean:.0f} bytes at least")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
