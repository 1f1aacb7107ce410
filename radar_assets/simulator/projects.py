"""The projects of the simulated traffic: their names, sizes, time zones and daily rhythms.

Their pages and products are in `site.py`.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

Rhythm = Literal["work", "leisure"]


@dataclass(frozen=True)
class SimulatedProject:
    """A simulated project.

    Attributes:
        size: traffic relative to the first project.
        weekly_growth: growth per week, as a share of the first week's traffic.
        rhythm: whether visitors come during office hours, or in the evening and at weekends.
        country: ISO 3166-1 alpha-2 code of most visitors' country.
    """

    id: str
    name: str
    host: str
    timezone: str
    country: str
    currency: str
    size: float
    weekly_growth: float
    rhythm: Rhythm
    has_app: bool
    sends_session_id: bool


_FIRST = ("Lumen Shop", "Harbor CRM", "Pico Games")
_NAMES = (
    "Amber",
    "Birch",
    "Cobalt",
    "Delta",
    "Ember",
    "Fjord",
    "Grove",
    "Halo",
    "Indigo",
    "Juniper",
    "Kestrel",
    "Lark",
)
_TRADES: tuple[tuple[str, Rhythm], ...] = (
    ("Desk", "work"),
    ("Market", "leisure"),
    ("Cloud", "work"),
    ("Travel", "leisure"),
    ("Health", "work"),
)
_PLACES = (
    ("Europe/Berlin", "DE", "EUR"),
    ("America/New_York", "US", "USD"),
    ("Pacific/Auckland", "NZ", "NZD"),
    ("Asia/Kathmandu", "NP", "NPR"),
    ("Australia/Lord_Howe", "AU", "AUD"),
    ("Pacific/Honolulu", "US", "USD"),
    ("Asia/Tokyo", "JP", "JPY"),
    ("Europe/London", "GB", "GBP"),
    ("America/Sao_Paulo", "BR", "BRL"),
    ("Asia/Kolkata", "IN", "INR"),
)
"""Time zone, country and currency of each project in turn. The first six are of every kind: in both hemispheres, with an offset in
quarters of an hour, a clock that changes by half an hour, and one that never changes."""
_GROWTH = (0.08, 0.05, 0.12, 0.03, 0.0)


def simulated_projects(count: int) -> list[SimulatedProject]:
    """The first `count` projects, largest first. A longer list starts with the same projects as a shorter one.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"projects={count}: must be at least 1")
    return [_project(rank, *_name_and_rhythm(rank)) for rank in range(count)]


def _name_and_rhythm(rank: int) -> tuple[str, Rhythm]:
    if rank < len(_FIRST):
        return _FIRST[rank], "work" if _FIRST[rank] == "Harbor CRM" else "leisure"
    series, index = divmod(rank - len(_FIRST), len(_NAMES) * len(_TRADES))
    (trade, rhythm), name = list(product(_TRADES, _NAMES))[index]
    return f"{name} {trade}" + (f" {series + 1}" if series else ""), rhythm


def _project(rank: int, name: str, rhythm: Rhythm) -> SimulatedProject:
    slug = name.lower().replace(" ", "-")
    timezone, country, currency = _PLACES[rank % len(_PLACES)]
    return SimulatedProject(
        id=slug,
        name=name,
        host=f"{slug}.example",
        timezone=timezone,
        country=country,
        currency=currency,
        size=1 / (rank + 1),
        weekly_growth=_GROWTH[rank % len(_GROWTH)],
        rhythm=rhythm,
        has_app=rank % 3 != 1,
        sends_session_id=rank % 2 == 0,
    )
