"""How events reach the collector: network delay, offline devices, wrong clocks, copies, broken lines, and what else senders do.

The content of events is in `journeys.py` and `wording.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import CLIENTS, Kind
from radar_assets.simulator.clock import HOUR_MS
from radar_assets.simulator.draws import between, draw, happens, uniform
from radar_assets.simulator.journeys import LAST_VIEW, Step
from radar_assets.simulator.visitors import KINDS

EVENT = np.dtype(
    [
        ("key", np.uint64),
        ("about", np.uint64),
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
        ("odd", np.bool_),
        ("sequence", np.int16),
        ("happened", np.int64),
        ("sent", np.int64),
        ("received", np.int64),
    ]
)
"""A line to render. `happened` and `sent` are by the sender's clock, `received` by the collector's (epoch milliseconds).

`about` is the key of the event that it follows from, or else its own; `sequence` orders the events of a request, or is -1.
"""

_WRONG_CLOCK_SHARE = 0.004
_SOON_MS = 60_000
_MAX_RETRY_MS = 2 * HOUR_MS
_RETRY_LATE_SHARE = 0.1
_MAX_OFFLINE_HOURS = 72
_REQUEST_MS = 10_000
_MAX_REFUND_MS = 72 * HOUR_MS
_SERVER = next(index for index, client in enumerate(CLIENTS) if client.kind == Kind.SERVER)


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


@dataclass(frozen=True)
class Oddities:
    """Shares of the traffic in which senders do what analysts don't expect.

    Attributes:
        engagement: share of page views in browsers that an automatic event follows.
        order_report: share of purchases that the shop's server reports too, under another event id.
        refund: share of purchases that the server refunds within three days; every second refund has an id.
        text_amount: share of purchases whose amount is a text, such as `$19.90`.
        placeholder: share of anonymous visitors for whom the site sends a placeholder as the user id.
        unusable_field: share of events with an optional field that is unusable.
        batched: share of visitors whose SDK sends what happened within ten seconds together, with times in whole seconds.
        spelling: share of page views whose URL is spelled in an unusual way. Those of the account are routed by the fragment.
        staging: share of visitors who use the staging host, as the team does.
        reused_id: share of events that have the id of the event before.
    """

    engagement: float = 0
    order_report: float = 0
    refund: float = 0
    text_amount: float = 0
    placeholder: float = 0
    unusable_field: float = 0
    batched: float = 0
    spelling: float = 0
    staging: float = 0
    reused_id: float = 0


NO_ODDITIES = Oddities()
ODDITIES = Oddities(
    engagement=0.15,
    order_report=0.3,
    refund=0.04,
    text_amount=0.1,
    placeholder=0.01,
    unusable_field=0.002,
    batched=0.1,
    spelling=0.01,
    staging=0.003,
    reused_id=0.000_01,
)


def deliver(sessions: NDArray, journeys: NDArray, shares: Shares, oddities: Oddities = NO_ODDITIES) -> NDArray:
    """The lines that the collector receives from these journeys, as unordered records of `EVENT`."""
    of = sessions.take(journeys["session"])  # about ten times as fast as indexing, for records
    events = np.empty(len(journeys), EVENT)
    for name in ("visitor", "project", "client", "source"):
        events[name] = of[name]
    for name in ("step", "page", "previous", "product", "known"):
        events[name] = journeys[name]
    events["session"] = of["key"]
    events["key"] = events["about"] = key = draw(of["key"], "event", journeys["nth"])
    events["broken"], events["odd"] = happens(key, "malformed", shares.malformed), False
    events["sequence"] = -1

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
    parts = [events]
    if oddities != NO_ODDITIES:
        _batch(events, journeys["nth"], clock_error, oddities.batched)
        again = happens(key, "id again", oddities.reused_id) & (journeys["nth"] > 0)
        events["key"][again] = draw(of["key"][again], "event", journeys["nth"][again] - 1)
        events["odd"] = happens(key, "odd", oddities.unusable_field)
        parts += _consequences(events, oddities)
    return np.concatenate([*parts, *(_copies(part, shares.duplicate) for part in parts)])


def _batch(events: NDArray, nth: NDArray[np.int32], clock_error: NDArray[np.int64], share: float) -> None:
    """Put events of some visitors into one request for each ten seconds, with times in whole seconds."""
    batched = happens(events["visitor"], "batched", share)
    of = events[batched]
    sent = -(-(of["sent"] - clock_error[batched]) // _REQUEST_MS) * _REQUEST_MS
    of["sent"] = sent + clock_error[batched]
    of["received"] = sent + between(draw(of["session"], "request", sent), "network", 30, 900)
    of["happened"] -= of["happened"] % 1000
    of["sequence"] = nth[batched]
    events[batched] = of


def _consequences(events: NDArray, oddities: Oddities) -> tuple[NDArray, NDArray, NDArray]:
    """Automatic events, and reports and refunds of orders from servers."""
    viewed = (events["step"] <= LAST_VIEW) & (KINDS[events["client"]] == Kind.BROWSER)
    engagement = _following(events, Step.ENGAGEMENT, viewed, oddities.engagement, 1_000, 3_000)
    bought = events["step"] == Step.PURCHASE
    report = _following(events, Step.ORDER_REPORT, bought, oddities.order_report, 200, 5_000)
    refund = _following(events, Step.REFUND, bought, oddities.refund, HOUR_MS, _MAX_REFUND_MS)
    for each in (report, refund):
        each["client"] = _SERVER
        each["sent"] = each["happened"] = each["received"] - 100
    return engagement, report, refund


def _following(events: NDArray, step: Step, after: NDArray[np.bool_], share: float, low: int, high: int) -> NDArray:
    """For this share of events, an event that follows in `low` to `high` milliseconds."""
    found = events[after & happens(events["about"], step.name, share)]
    found["key"], found["step"], found["sequence"] = draw(found["about"], f"{step.name} event"), step, -1
    wait = between(found["about"], f"{step.name} wait", low, high)
    for time in ("happened", "sent", "received"):
        found[time] += wait
    return found


def _copies(events: NDArray, share: float) -> NDArray:
    """Events that an SDK sends again because the response to its first attempt was lost."""
    copies = events[~events["broken"] & happens(events["key"], "sent again", share)]
    soon = between(copies["key"], "retry", 1_000, _SOON_MS)
    late = between(copies["key"], "late retry", _SOON_MS, _MAX_RETRY_MS)
    wait = np.where(happens(copies["key"], "retries late", _RETRY_LATE_SHARE), late, soon)
    copies["sent"] += wait
    copies["received"] += wait
    return copies
