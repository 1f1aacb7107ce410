"""Renders events as NDJSON: selects the fragments of each line, formats ids and times, and joins them.

The fragments are in `wording.py`. Malformed lines are made here.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from radar_assets.simulator import wording
from radar_assets.simulator.clients import COUNTRIES, HOME_SHARE, Kind
from radar_assets.simulator.columns import column, data_of, hexadecimal, times
from radar_assets.simulator.delivery import NO_ODDITIES, Oddities
from radar_assets.simulator.draws import draw, happens, odds, pick
from radar_assets.simulator.journeys import LAST_VIEW, MAX_STEPS, Step
from radar_assets.simulator.projects import SimulatedProject
from radar_assets.simulator.site import PAGES, PRODUCTS
from radar_assets.simulator.sources import SOURCES
from radar_assets.simulator.visitors import KINDS
from radar_assets.simulator.wording import Spelling

Indices = NDArray[np.integer]
Flags = NDArray[np.bool_]

_IS_SALE, _IS_ABOUT_ORDER = (np.isin(list(Step), steps) for steps in (wording.SALES, wording.ABOUT_ORDERS))
_SEQUENCES = pa.array(["", *(f',"sequence":{position}' for position in range(MAX_STEPS))])
_PLACEHOLDERS = pa.array(["", *(f',"user_id":"{text}"' for text in wording.PLACEHOLDERS)])


class Lines:
    """Renders the lines of the given projects.

    Args:
        lean: omit less important content: the library, paths beside a URL, referrers within the site.
        more_bytes: by how many bytes to lengthen lines on average.
        oddities: shares of lines with what their content has besides.
    """

    def __init__(
        self,
        projects: Sequence[SimulatedProject],
        *,
        lean: bool = False,
        more_bytes: int = 0,
        oddities: Oddities = NO_ODDITIES,
    ) -> None:
        def of_pages(make: Callable[[SimulatedProject], list[str]]) -> list[str]:
            return [fragment for project in projects for fragment in make(project)]

        self._sends_session_id = np.array([project.sends_session_id for project in projects])
        self._headings = pa.array(
            wording.heading(project, step, in_app) for project, step, in_app in product(projects, Step, (False, True))
        )
        by_step = [wording.step_properties(project, step) for project, step in product(projects, Step)]
        self._oddities = oddities
        views = [
            fragment
            for spelling in Spelling
            for fragment in of_pages(partial(wording.view_properties, lean=lean, spelling=spelling))
        ]
        screens = of_pages(wording.screen_properties)
        self._properties = pa.array(views + screens + [fragment for variations in by_step for fragment in variations])
        self._pages, self._first_screen = len(projects) * PAGES, len(views)
        self._variations = np.array([len(variations) for variations in by_step])
        self._first_variation = len(views) + len(screens) + np.cumsum(self._variations) - self._variations
        referrers = [source.referrer for source in SOURCES] + (
            [""] * self._pages if lean else of_pages(wording.page_urls)
        )
        contexts = [
            fragment for spelling in Spelling for fragment in of_pages(partial(wording.page_context, spelling=spelling))
        ]
        self._surroundings = pa.array(["", *map(wording.referrer, referrers), *contexts])
        self._first_page_context = 1 + len(referrers)
        self._queries = pa.array(["", *map(wording.query, SOURCES)])
        campaigns = ["", *map(wording.campaign_context, SOURCES)]
        self._campaigns = pa.array(campaigns + [wording.HASH_ROUTING + campaign for campaign in campaigns])
        self._clients = pa.array(wording.client_contexts(lean))
        self._countries = np.stack([_country_odds(project.country) for project in projects])
        self._further = pa.array(wording.further_contexts(more_bytes))

    def render(self, events: NDArray) -> pa.StringArray:
        """A complete line for each of these events (records of `delivery.EVENT`), also for those that are broken later."""
        project, step = events["project"].astype(np.intp), events["step"].astype(np.intp)
        visitor, session, client = events["visitor"], events["session"], events["client"].astype(np.intp)
        in_app, on_server = KINDS[client] == Kind.APP, KINDS[client] == Kind.SERVER
        on_site, viewing = ~in_app & ~on_server, step <= LAST_VIEW
        landing = np.where(on_site & viewing & (events["previous"] < 0), events["source"] + 1, 0)
        country = pick(self._countries, draw(visitor, "country"), project)
        sends_session = self._sends_session_id[project] & ~on_server
        spelling = self._spelling(events, viewing & on_site)
        pieces = [
            column(b'{"event_id":"', hexadecimal(events["key"], 16), hexadecimal(draw(events["key"], "id"), 8), b'",'),
            self._headings.take(_indices((project * len(Step) + step) * 2 + in_app)),
            column(b',"user_id":"u-', hexadecimal(draw(visitor, "user"), 10), b'"', where=events["known"]),
            self._placeholder(events, on_server),
            column(b',"anonymous_id":"', hexadecimal(visitor, 16), b'"', where=~on_server | _IS_ABOUT_ORDER[step]),
            column(b',"session_id":"', hexadecimal(session, 12), b'"', where=sends_session),
            _SEQUENCES.take(_indices(events["sequence"] + 1)),
            column(
                *(b',"timestamp":"', times(events["happened"])),
                *(b'","sent_at":"', times(events["sent"])),
                *(b'","received_at":"', times(events["received"]), b'","properties":{'),
            ),
            self._order(events, step),
            self._properties.take(_indices(self._property(events, project, step, spelling, viewing, in_app))),
            self._queries.take(_indices(landing)),
            self._surroundings.take(_indices(self._surrounding(events, project, spelling, viewing, on_site))),
            self._campaigns.take(_indices(landing + self._is_routed(events, spelling) * len(self._campaigns) // 2)),
            self._clients.take(_indices(client * len(COUNTRIES) + country)),
            self._further.take(_indices(visitor % np.uint64(len(self._further)))),
            '},"protocol":"segment"}\n',
        ]
        return pc.binary_join_element_wise(*pieces, "")  # pyright: ignore[reportAttributeAccessIssue]

    def _spelling(self, events: NDArray, on_page: Flags) -> Indices:
        """The spelling of the URL of each event."""
        on_staging = happens(events["visitor"], "staging", self._oddities.staging)
        is_unusual = on_page & happens(events["key"], "spelling", self._oddities.spelling)
        return np.where(on_staging, Spelling.STAGING, np.where(is_unusual, Spelling.UNUSUAL, Spelling.PLAIN))

    def _placeholder(self, events: NDArray, on_server: Flags) -> pa.Array:
        """The user ids of anonymous visitors that are none."""
        visitor = events["visitor"]
        sent = ~events["known"] & ~on_server & happens(visitor, "placeholder", self._oddities.placeholder)
        return _PLACEHOLDERS.take(_indices(np.where(sent, 1 + visitor % np.uint64(len(_PLACEHOLDERS) - 1), 0)))

    def _property(
        self, events: NDArray, project: Indices, step: Indices, spelling: Indices, viewing: Flags, in_app: Flags
    ) -> Indices:
        """The index of each event's properties in their table."""
        view = np.where(in_app, self._first_screen, spelling * self._pages) + project * PAGES + events["page"]
        chance = draw(events["about"], "variation").astype(np.intp)
        quantity = chance % len(wording.QUANTITIES)
        is_text = (step == Step.PURCHASE) & happens(events["about"], "text", self._oddities.text_amount)
        product = events["product"].astype(np.intp) + is_text * PRODUCTS
        of_product = product * len(wording.QUANTITIES) + quantity
        row = project * len(Step) + step
        variation = np.where(_IS_SALE[step], of_product, chance % self._variations[row])
        return np.where(viewing, view, self._first_variation[row] + variation)

    def _order(self, events: NDArray, step: Indices) -> pa.Array:
        """The ids of orders, and of some refunds."""
        found = np.flatnonzero(_IS_ABOUT_ORDER[step] & (self._oddities != NO_ODDITIES))
        about, place = events["about"][found], np.zeros(len(events), np.int32)
        place[found] = 1 + np.arange(len(found))
        has_refund_id = (step[found] == Step.REFUND) & happens(about, "refund id", 0.5)
        orders = pc.binary_join_element_wise(  # pyright: ignore[reportAttributeAccessIssue]
            column(b'"order_id":"', hexadecimal(draw(about, "order"), 10), b'",'),
            column(b'"refund_id":"', hexadecimal(draw(about, "refund"), 10), b'",', where=has_refund_id),
            "",
        )
        return pa.concat_arrays([pa.array([""]), orders]).take(_indices(place))

    def _is_routed(self, events: NDArray, spelling: Indices) -> Flags:
        """Whether the line says that the fragment of its URL is part of the page."""
        return (spelling == Spelling.UNUSUAL) & (events["page"] == wording.HASH_ROUTED)

    def _surrounding(
        self, events: NDArray, project: Indices, spelling: Indices, viewing: Flags, on_site: Flags
    ) -> Indices:
        """The index of each event's referrer (for views) or page (for other events) in their table."""
        page, previous = np.maximum(events["page"], 0), events["previous"]
        referrer = 1 + np.where(previous < 0, events["source"], len(SOURCES) + project * PAGES + previous)
        context = self._first_page_context + spelling * self._pages + project * PAGES + page
        return np.where(on_site, np.where(viewing, referrer, context), 0)


def ndjson(lines: pa.StringArray, events: NDArray) -> bytes:
    """The concatenated lines of these events, with the broken ones broken, and unusable fields in the odd ones."""
    parts, done = [], 0
    for index in np.flatnonzero(events["broken"] | events["odd"]).tolist():
        change = _break if events["broken"][index] else _spoil
        changed = change(lines[index].as_py(), int(events["about"][index]))
        parts += [data_of(lines[done:index]), changed.encode()]
        done = index + 1
    return b"".join([*parts, data_of(lines[done:])])


def _indices(numbers: Indices) -> pa.Array:
    return pa.array(numbers.astype(np.int32))


def _country_odds(home: str) -> NDArray[np.int16]:
    abroad = sum(weight for _, _, weight in COUNTRIES)
    return odds(
        [
            (1 - HOME_SHARE) * weight / abroad + (HOME_SHARE if country == home else 0)
            for country, _, weight in COUNTRIES
        ]
    )


def _break(line: str, chance: int) -> str:
    """The line as a buggy sender would send it: truncated, without ids, or with a value of the wrong type."""
    if chance % 3 == 0:
        return line[: len(line) // 4 + chance % (len(line) // 2)] + "\n"
    event = json.loads(line)
    if chance % 3 == 1:
        event.pop("user_id", None)
        event.pop("anonymous_id", None)
    else:
        wrong = (("timestamp", "yesterday"), ("properties", "none"), ("event", 404), ("type", "click"))
        field, value = wrong[chance // 3 % len(wrong)]
        event[field] = value
    return _line(event)


_UNUSABLE: tuple[tuple[str, object], ...] = (
    *(("category", ["shop"]), ("category", "shop" * 60), ("session_id", ""), ("session_id", ["s"])),
    *(("sent_at", "0001-01-01T00:00:00Z"), ("sent_at", "soon"), ("timestamp", ""), ("timestamp", 0)),
    *(("sequence", "first"), ("type", "click"), ("context", [])),
)


def _spoil(line: str, chance: int) -> str:
    """The line with an optional field that can't be used."""
    name, value = _UNUSABLE[chance % len(_UNUSABLE)]
    return _line({**json.loads(line), name: value})


def _line(event: dict[str, object]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
