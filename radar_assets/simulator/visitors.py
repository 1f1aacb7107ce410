"""The visitors: for each session its visitor, client, role, source and start.

Everything about a visitor is drawn from the number of their first session, so no state is needed.
"""

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import CLIENTS, Kind
from radar_assets.simulator.clock import HOUR_MS
from radar_assets.simulator.demand import Demand
from radar_assets.simulator.draws import between, draw, happens, keys, odds, pick, uniform
from radar_assets.simulator.incidents import SPIKE_TRAFFIC, struck
from radar_assets.simulator.journeys import Role
from radar_assets.simulator.sources import SOURCES, SPIKE_SOURCE

SESSION = np.dtype(
    [
        ("key", np.uint64),
        ("visitor", np.uint64),
        ("project", np.int16),
        ("client", np.int16),
        ("role", np.int16),
        ("source", np.int16),
        ("start", np.int64),
    ]
)

KINDS = np.array([client.kind for client in CLIENTS], dtype=np.int16)

_CUSTOMER_SHARE = 0.07
_SIGN_UP_SHARE = 0.05
_CLIENTS = np.stack(
    [
        odds([client.share if client.kind != Kind.APP else 0 for client in CLIENTS]),
        odds([client.share for client in CLIENTS]),
    ]
)
_SOURCES = odds([source.share for source in SOURCES])


def arrivals(demand: Demand, numbers: NDArray[np.int64]) -> NDArray:
    """The sessions with these numbers, as records of `SESSION`."""
    cells = demand.cell_of(numbers)
    origin = _first_visit(demand, numbers, cells)
    key, visitor = keys(demand.seed, numbers), draw(keys(demand.seed, origin), "visitor")
    sessions = np.empty(len(numbers), SESSION)
    sessions["key"], sessions["visitor"] = key, visitor
    sessions["project"] = project = cells // demand.hours
    sessions["start"] = demand.start_ms + cells % demand.hours * HOUR_MS + between(key, "start", 0, HOUR_MS)

    has_app = np.array([each.has_app for each in demand.projects], dtype=np.intp)
    sessions["client"] = pick(_CLIENTS, draw(visitor, "client"), has_app[project])
    kind = KINDS[sessions["client"]]

    customer, signs_up = happens(visitor, "customer", _CUSTOMER_SHARE), happens(visitor, "sign up", _SIGN_UP_SHARE)
    role = np.full(len(numbers), Role.GUEST, dtype=np.int16)
    role[signs_up & (origin == numbers)] = Role.NEWCOMER
    role[customer | (signs_up & (origin != numbers))] = Role.MEMBER
    role[kind == Kind.BOT] = Role.BOT
    role[struck(demand.incidents, "outage", demand.projects, project, sessions["start"])] = Role.CUT_OFF
    role[kind == Kind.SERVER] = Role.SERVER
    sessions["role"] = role

    sessions["source"] = pick(_SOURCES, draw(key, "source"))
    spike = struck(demand.incidents, "referrer_spike", demand.projects, project, sessions["start"])
    sessions["source"][spike & happens(key, "spike", 1 - 1 / SPIKE_TRAFFIC)] = SPIKE_SOURCE
    return sessions


def _first_visit(demand: Demand, numbers: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the first session of each session's visitor.

    A session has a new visitor, or that of an earlier, preferably recent, session, found in the same way. Frequent visitors
    are therefore more likely to return: visits per visitor follow a power law, as on real sites.
    """
    origin = numbers.copy()
    open_ = np.arange(len(numbers))
    while open_.size:
        key = keys(demand.seed, origin[open_])
        hour_began = demand.first[cells]
        earlier = hour_began - demand.first[cells // demand.hours * demand.hours]
        again = (earlier > 0) & ~happens(key, "new", demand.new_share[cells])
        back = (earlier * uniform(key, "back") ** 2).astype(np.int64)
        open_ = open_[again]
        origin[open_] = (hour_began - 1 - back)[again]
        cells = demand.cell_of(origin[open_])
    return origin
