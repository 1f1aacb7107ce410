"""The entry point of the simulator: traffic of several projects and days, by the hour in which the collector would receive it.

`simulate` only connects the stages: demand, visitors, journeys, delivery, lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import Kind
from radar_assets.simulator.clock import HOUR_MS, moment_of
from radar_assets.simulator.delivery import EVENT, NO_ODDITIES, ODDITIES, Oddities, Shares, deliver
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
    """A segment to land: its received hour (naive, UTC), its name without extension, its lines."""

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
    oddities: Oddities = ODDITIES,
) -> Iterator[SimulatedSegment]:
    """Simulate realistic traffic. The same arguments give the same bytes on any machine.

    Segments are ordered by hour, with one or more per hour and none for hours without events. Events that would be received after
    the last day are omitted, so that the end looks like the present. Memory does not grow with `days`.

    Args:
        start: first day (UTC).
        events: approximate number of events in total; the result differs by a few percent.
        event_bytes: mean length of a line, adjusted by adding or omitting context. Default: about 640.
        late_share: share of events that are received hours to three days late, from apps that were offline.
        duplicate_share: share of events that are sent twice.
        malformed_share: share of lines that violate the contract.
        oddities: shares of what real senders do besides, such as reporting an order twice. `NO_ODDITIES` for none.

    Raises:
        ValueError: an argument is out of range; the message names it.
    """
    _require(days >= 1, f"days={days}: must be at least 1")
    _require(events >= 1, f"events={events}: must be at least 1")
    shares = {"late_share": late_share, "duplicate_share": duplicate_share, "malformed_share": malformed_share}
    for name, share in shares.items():
        _require(0 <= share <= 1, f"{name}={share}: must be between 0 and 1")
    cast = simulated_projects(projects)
    identity = seed_of(
        *(start.isoformat(), days, projects, events, seed, event_bytes, *shares.values()),
        *(astuple(oddities) if oddities != NO_ODDITIES else ()),
    )
    planted = incidents(start, days, projects=projects)

    rough = demand(cast, planted, seed=identity, start=start, days=days, sessions=2 * _SAMPLE_SESSIONS)
    sample = _sample(rough, oddities)
    per_session = len(sample) / _SAMPLE_SESSIONS
    from_apps = np.count_nonzero(KINDS[sample["client"]] == Kind.APP) / len(sample)
    flaws = Shares(late_share / from_apps if from_apps else 0, duplicate_share, malformed_share)
    lines = _lines_of(cast, sample, event_bytes, oddities)
    wanted = demand(cast, planted, seed=identity, start=start, days=days, sessions=events / per_session)
    return _segments(wanted, flaws, oddities, lines, f"simulated-{identity:016x}")


def _segments(wanted: Demand, flaws: Shares, oddities: Oddities, lines: Lines, name: str) -> Iterator[SimulatedSegment]:
    in_transit = np.empty(0, EVENT)
    for from_hour, to_hour in _spans(wanted):
        sessions = arrivals(wanted, wanted.numbers(from_hour, to_hour))
        in_transit = np.concatenate([in_transit, deliver(sessions, walk(wanted, sessions), flaws, oddities)])
        # Also sorted by key, so that the order does not depend on how hours are grouped.
        in_transit = in_transit.take(np.lexsort((in_transit["key"], in_transit["received"])))
        due, end = np.searchsorted(
            in_transit["received"], wanted.start_ms + np.array([to_hour, wanted.hours]) * HOUR_MS
        )
        arrived, in_transit = in_transit[:due], in_transit[due:end].copy()
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
    """Groups of hours, large enough for efficient array operations and small enough for memory."""
    by_hour = np.diff(wanted.first).reshape(-1, wanted.hours).sum(axis=0)
    begin, sessions = 0, 0
    for hour, count in enumerate(by_hour.tolist()):
        if sessions and sessions + count > _SPAN_SESSIONS:
            yield begin, hour
            begin, sessions = hour, 0
        sessions += count
    yield begin, wanted.hours


def _sample(rough: Demand, oddities: Oddities) -> NDArray:
    """The events of a sample of sessions, evenly spread and without flaws."""
    sessions = arrivals(rough, np.arange(_SAMPLE_SESSIONS) * rough.sessions // _SAMPLE_SESSIONS)
    return deliver(sessions, walk(rough, sessions), Shares(0, 0, 0), oddities)


def _lines_of(cast: Sequence[SimulatedProject], sample: NDArray, event_bytes: int | None, oddities: Oddities) -> Lines:
    """A renderer of lines with this mean length."""
    if event_bytes is None:
        return Lines(cast, oddities=oddities)
    thinned, mean = sample[:: max(1, len(sample) // _SAMPLE_LINES)], 0
    for lean in (False, True):
        mean = len(ndjson(Lines(cast, lean=lean, oddities=oddities).render(thinned), thinned)) / len(thinned)
        if mean <= event_bytes:
            return Lines(cast, lean=lean, more_bytes=round(event_bytes - mean), oddities=oddities)
    raise ValueError(f"event_bytes={event_bytes}: must be at least {mean:.0f} for these projects")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
