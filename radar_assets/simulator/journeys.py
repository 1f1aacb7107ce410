"""What visitors do: a random walk over steps until they leave, computed for all sessions at once.

The steps, their transition odds and the time between them belong here; the events of the steps are in `wording.py`.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from radar_assets.simulator.clients import CLIENTS
from radar_assets.simulator.demand import Demand
from radar_assets.simulator.draws import draw, odds, pick
from radar_assets.simulator.incidents import BROKEN_BROWSER, struck
from radar_assets.simulator.site import ARTICLES, FIRST_ARTICLE, FIRST_PRODUCT, PRODUCTS, Page


class Role(IntEnum):
    """The role of a session, which determines its odds."""

    GUEST = 0
    NEWCOMER = 1
    MEMBER = 2
    BOT = 3
    SERVER = 4
    CUT_OFF = 5


class Step(IntEnum):
    """What one event is about. The first values are page or screen views."""

    HOME = 0
    ARTICLE = 1
    PRODUCT = 2
    PRICING = 3
    SIGN_UP_PAGE = 4
    CHECKOUT = 5
    THANKS = 6
    ACCOUNT = 7
    BUTTON = 8
    SEARCH = 9
    VIDEO = 10
    ADD_TO_CART = 11
    SIGN_UP = 12
    IDENTIFY = 13
    PURCHASE = 14
    ERROR = 15
    PAYMENT_FAILED = 16
    INVOICE = 17
    EXPORT = 18
    START = 19
    LEAVE = 20
    # Steps that other steps trigger; see `delivery.py`.
    ENGAGEMENT = 21
    ORDER_REPORT = 22
    REFUND = 23


S = Step
LAST_VIEW = S.ACCOUNT
MAX_STEPS = 200

# Transitions per 1,000 from one step to others; the rest leave.
_Odds = Mapping[Step, Mapping[Step, int]]

_BROWSING: _Odds = {
    S.START: {S.HOME: 430, S.ARTICLE: 280, S.PRODUCT: 240, S.PRICING: 50},
    S.HOME: {
        S.PRODUCT: 290,
        S.ARTICLE: 130,
        S.PRICING: 80,
        S.SEARCH: 70,
        S.BUTTON: 130,
        S.SIGN_UP_PAGE: 14,
        S.ERROR: 6,
    },
    S.ARTICLE: {S.ARTICLE: 240, S.HOME: 90, S.PRODUCT: 150, S.VIDEO: 70, S.BUTTON: 70, S.ERROR: 5},
    S.PRODUCT: {S.PRODUCT: 420, S.BUTTON: 130, S.ADD_TO_CART: 90, S.VIDEO: 60, S.PRICING: 50, S.HOME: 60, S.ERROR: 8},
    S.PRICING: {S.SIGN_UP_PAGE: 100, S.PRODUCT: 300, S.BUTTON: 150, S.HOME: 150, S.CHECKOUT: 20, S.ERROR: 6},
    S.SIGN_UP_PAGE: {S.HOME: 200, S.PRICING: 150, S.ERROR: 30},
    S.CHECKOUT: {S.PURCHASE: 550, S.PRODUCT: 140, S.PAYMENT_FAILED: 20, S.BUTTON: 40, S.ERROR: 12},
    S.THANKS: {S.HOME: 150, S.PRODUCT: 120, S.ACCOUNT: 60},
    S.ACCOUNT: {S.PRODUCT: 350, S.BUTTON: 250, S.HOME: 200, S.ERROR: 8},
    S.BUTTON: {S.PRODUCT: 420, S.PRICING: 150, S.HOME: 130, S.BUTTON: 90, S.ARTICLE: 100},
    S.SEARCH: {S.PRODUCT: 540, S.ARTICLE: 150, S.SEARCH: 190, S.ERROR: 6},
    S.VIDEO: {S.PRODUCT: 350, S.ARTICLE: 250, S.VIDEO: 100, S.BUTTON: 140},
    S.ADD_TO_CART: {S.CHECKOUT: 350, S.PRODUCT: 440, S.HOME: 90},
    S.IDENTIFY: {S.HOME: 350, S.PRODUCT: 300, S.ACCOUNT: 250},
    S.PURCHASE: {S.THANKS: 1000},
    S.ERROR: {S.HOME: 250, S.PRODUCT: 200, S.ERROR: 120},
    S.PAYMENT_FAILED: {S.CHECKOUT: 400},
}

_ODDS: dict[Role, _Odds] = {
    Role.GUEST: _BROWSING,
    # Newcomers always sign up before they leave: this is decided in advance, so that later sessions can rely on it.
    Role.NEWCOMER: {
        S.START: _BROWSING[S.START],
        S.HOME: {S.PRODUCT: 300, S.ARTICLE: 150, S.PRICING: 400, S.SIGN_UP_PAGE: 150},
        S.ARTICLE: {S.PRICING: 500, S.ARTICLE: 200, S.HOME: 300},
        S.PRODUCT: {S.PRODUCT: 300, S.PRICING: 600, S.BUTTON: 100},
        S.PRICING: {S.SIGN_UP_PAGE: 800, S.BUTTON: 200},
        S.BUTTON: {S.SIGN_UP_PAGE: 800, S.HOME: 200},
        S.SIGN_UP_PAGE: {S.SIGN_UP: 950, S.ERROR: 50},
        S.SIGN_UP: {S.IDENTIFY: 1000},
        S.ERROR: {S.SIGN_UP_PAGE: 1000},
    },
    Role.MEMBER: _BROWSING
    | {
        S.START: {S.IDENTIFY: 150, S.HOME: 350, S.ACCOUNT: 250, S.PRODUCT: 180, S.ARTICLE: 70},
        S.HOME: {S.PRODUCT: 380, S.ACCOUNT: 180, S.ARTICLE: 90, S.SEARCH: 110, S.BUTTON: 140, S.ERROR: 6},
        S.PRODUCT: {S.PRODUCT: 400, S.BUTTON: 130, S.ADD_TO_CART: 150, S.VIDEO: 60, S.ACCOUNT: 90, S.ERROR: 8},
    },
    Role.BOT: {
        S.START: {S.HOME: 1000},
        S.HOME: {S.PRODUCT: 500, S.ARTICLE: 450, S.PRICING: 40},
        S.PRODUCT: {S.PRODUCT: 600, S.ARTICLE: 350, S.HOME: 30},
        S.ARTICLE: {S.ARTICLE: 600, S.PRODUCT: 350, S.HOME: 30},
        S.PRICING: {S.PRODUCT: 900, S.HOME: 80},
    },
    Role.SERVER: {
        S.START: {S.INVOICE: 500, S.EXPORT: 500},
        S.INVOICE: {S.INVOICE: 800, S.EXPORT: 100},
        S.EXPORT: {S.EXPORT: 800, S.INVOICE: 100},
    },
    Role.CUT_OFF: {
        S.START: {S.HOME: 400, S.ERROR: 600},
        S.HOME: {S.ERROR: 850},
        S.ERROR: {S.ERROR: 700, S.HOME: 40},
    },
}


def _next_steps(of: _Odds) -> NDArray[np.int16]:
    onward = [[of.get(step, {}).get(to, 0) for to in Step] for step in Step]
    return np.stack([odds([*row[: S.LEAVE], 1000 - sum(row)]) for row in onward])


_NEXT = np.stack([_next_steps(_ODDS[role]) for role in Role])

# Mean milliseconds before each step. Bots have their own pace.
_MEAN_GAP = np.full(len(Step), 38_000, dtype=np.int64)
_MEAN_GAP[[S.BUTTON, S.SEARCH, S.VIDEO, S.ADD_TO_CART, S.ERROR]] = 12_000
_MEAN_GAP[[S.CHECKOUT, S.SIGN_UP, S.PURCHASE, S.PAYMENT_FAILED]] = 45_000
_MEAN_GAP[[S.IDENTIFY, S.THANKS]] = 400

# Quantiles of an exponential distribution in thousandths of its mean. Rounded, because the last bit of a logarithm differs
# between machines.
_EXPONENTIAL = np.round(-np.log1p(-(np.arange(1024) + 0.5) / 1024) * 1000).astype(np.int64)

_LONG_PAUSE_SHARE = 0.003
_LONG_PAUSE_MS = 20 * 60_000, 90 * 60_000

# By role: whose user id is known from the start, and who may pause for long.
_KNOWN = np.isin(list(Role), (Role.MEMBER, Role.SERVER))
_PAUSES = np.isin(list(Role), (Role.GUEST, Role.MEMBER))

_PAGES = np.zeros(len(Step), dtype=np.int16)
_PAGES[[S.HOME, S.PRICING, S.SIGN_UP_PAGE, S.CHECKOUT, S.THANKS, S.ACCOUNT]] = [
    Page.HOME,
    Page.PRICING,
    Page.SIGN_UP,
    Page.CHECKOUT,
    Page.THANKS,
    Page.ACCOUNT,
]

JOURNEY = np.dtype(
    [
        ("session", np.int64),
        ("role", np.int16),
        ("nth", np.int32),
        ("step", np.int16),
        ("page", np.int16),
        ("previous", np.int16),
        ("product", np.int16),
        ("known", np.bool_),
        ("clock", np.int64),
    ]
)
"""One event: the index of its session, its number in the session, its page and its time (epoch milliseconds)."""


def walk(demand: Demand, sessions: NDArray) -> NDArray:
    """The events of these sessions (records of `visitors.SESSION`), as records of `JOURNEY`."""
    breaks_at_checkout = np.array([client.browser == BROKEN_BROWSER for client in CLIENTS])[sessions["client"]]
    now = np.zeros(len(sessions), JOURNEY)
    now["session"] = np.arange(len(sessions))
    now["step"], now["page"], now["previous"] = S.START, -1, -1
    now["role"], now["known"] = sessions["role"], _KNOWN[sessions["role"]]
    now["clock"] = sessions["start"]
    now["product"] = _item(draw(sessions["key"], "product"), PRODUCTS)
    trail = []
    for nth in range(MAX_STEPS):
        session = sessions.take(now["session"])
        bits = draw(session["key"], "step", nth)
        step = pick(_NEXT, bits, (now["role"], now["step"]))
        clock = now["clock"] if nth == 0 else now["clock"] + _gap(session, step, nth)
        fails = (step == S.PURCHASE) & breaks_at_checkout[now["session"]]
        if fails.any():
            fails &= struck(demand.incidents, "checkout_failure", demand.projects, session["project"], clock)
            step[fails] = S.PAYMENT_FAILED
        goes_on = step != S.LEAVE
        cut = struck(demand.incidents, "outage", demand.projects, session["project"], clock)
        goes_on &= ~cut | (session["role"] == Role.CUT_OFF)

        now, step, key = now.compress(goes_on), step[goes_on], session["key"][goes_on]
        if not now.size:
            break
        now["nth"], now["step"], now["clock"] = nth, step, clock[goes_on]
        now["known"] |= step == S.IDENTIFY
        now["role"][step == S.IDENTIFY] = Role.MEMBER
        _turn_page(now, draw(key, "item", nth))
        trail.append(now.copy())
    return np.concatenate(trail) if trail else now[:0]


def _gap(session: NDArray, step: NDArray[np.int16], nth: int) -> NDArray[np.int64]:
    """Milliseconds before each step."""
    bits = draw(session["key"], "gap", nth)
    gap = _MEAN_GAP[step] * _EXPONENTIAL[(bits >> np.uint64(54)).astype(np.intp)] // 1000 + 150
    machine = 1_500 + (bits % np.uint64(2_000)).astype(np.int64)
    gap = np.where(session["role"] == Role.BOT, machine, gap)
    pause = np.zeros(len(gap), dtype=np.int64)
    low, high = _LONG_PAUSE_MS
    rare = (bits & np.uint64(0xFFFF)) < np.uint64(_LONG_PAUSE_SHARE * 0x10000)
    pause[rare] = low + ((bits[rare] >> np.uint64(16)) % np.uint64(high - low)).astype(np.int64)
    return gap + np.where(_PAUSES[session["role"]], pause, 0)


def _item(bits: NDArray[np.uint64], count: int) -> NDArray[np.int16]:
    """An index below `count`, lower ones more often."""
    share = (bits >> np.uint64(40)) * 2.0**-24
    return (count * share * share).astype(np.int16)


def _turn_page(now: NDArray, bits: NDArray[np.uint64]) -> None:
    """Update the page of sessions whose step is a view."""
    step = now["step"]
    viewing = step <= LAST_VIEW
    product = step == S.PRODUCT
    now["product"][product] = _item(bits[product], PRODUCTS)
    page = _PAGES[step]
    page[product] = FIRST_PRODUCT + now["product"][product]
    article = step == S.ARTICLE
    page[article] = FIRST_ARTICLE + _item(bits[article], ARTICLES)
    now["previous"][viewing] = now["page"][viewing]
    now["page"][viewing] = page[viewing]
