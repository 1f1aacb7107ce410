"""How events reach the collector: network delay, offline devices, wrong clocks, copies and broken lines.

The content of events is in `journeys.py` and `wording.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import Kind
from radar_assets.simulator.clock import HOUR_MS
from radar_assets.simulator.draws import between, draw, happens, uniform
from radar_assets.simulator.visitors import KINDS

EVENT = np.dtype(
    [
        ("key", np.uint64),
        ("visitor", np.uint64),
        ("session", np.uint64),
        ("project", np.int16),
        ("client", np.int16),
        ("source", np.int16),
        ("step", np.int16),
        ("page", np.int16),
        ("previous", np.int16),
        ("product", np.int16),
        ("known", np.bool_),
        ("broken", np.bool_),
        ("happened", np.int64),
        ("sent", np.int64),
        ("received", np.int64),
    ]
)
"""A line to render. `happened` and `sent` are by the sender's clock, `received` by the collector's (epoch milliseconds)."""

_WRONG_CLOCK_SHARE = 0.004
_SOON_MS = 60_000
_MAX_RETRY_MS = 2 * HOUR_MS
_RETRY_LATE_SHARE = 0.1
_MAX_OFFLINE_HOURS = 72


@dataclass(frozen=True)
class Shares:
    """Shares of the traffic with each kind of flaw.

    Attributes:
        offline: share of app sessions that are delivered hours or days after they happened.
        duplicate: share of events that are sent twice.
        malformed: share of events whose line is broken.
    """

    offline: float
    duplicate: float
    malformed: float


def deliver(sessions: NDArray, journeys: NDArray, shares: Shares) -> NDArray:
    """The lines that the collector receives from these journeys, as unordered records of `EVENT`."""
    of = sessions.take(journeys["session"])  # about ten times as fast as indexing, for records
    events = np.empty(len(journeys), EVENT)
    for name in ("visitor", "project", "client", "source"):
        events[name] = of[name]
    for name in ("step", "page", "previous", "product", "known"):
        events[name] = journeys[name]
    events["session"] = of["key"]
    events["key"] = key = draw(of["key"], "event", journeys["nth"])
    events["broken"] = happens(key, "malformed", shares.malformed)

    sent = journeys["clock"] + between(key, "batch", 5, 1_500)
    offline = happens(of["key"], "offline", shares.offline) & (KINDS[of["client"]] == Kind.APP)
    # Squared, so that most devices are back online within a day.
    hours_offline = 1 + (_MAX_OFFLINE_HOURS - 2) * uniform(of["key"], "back online") ** 2
    back = of["start"] + (hours_offline * HOUR_MS).astype(np.int64)
    sent = np.where(offline, np.maximum(sent, back), sent)
    wrong = happens(of["visitor"], "wrong clock", _WRONG_CLOCK_SHARE)
    hours_off = between(of["visitor"], "hours off", 1, 11) * (1 - 2 * between(of["visitor"], "clock slow", 0, 2))
    clock_error = np.where(wrong, hours_off * HOUR_MS, 0)
    events["happened"] = journeys["clock"] + clock_error
    events["sent"] = sent + clock_error
    events["received"] = sent + between(key, "network", 30, 900)
    return np.concatenate([events, _copies(events, shares.duplicate)])


def _copies(events: NDArray, share: float) -> NDArray:
    """Events that an SDK sends again because the response to its first attempt was lost."""
    copies = events[~events["broken"] & happens(events["key"], "sent again", share)]
    soon = between(copies["key"], "retry", 1_000, _SOON_MS)
    late = between(copies["key"], "late retry", _SOON_MS, _MAX_RETRY_MS)
    wait = np.where(happens(copies["key"], "retries late", _RETRY_LATE_SHARE), late, soon)
    copies["sent"] += wait
    copies["received"] += wait
    return copies
