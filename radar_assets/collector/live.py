"""Live numbers of a project: the events of the last half hour, counted from the landing zone.

Events, page views and visitors are those of the hourly metrics (`metrics/registry.py`), and pages those of the daily
breakdowns, by what `radar.yaml` declares at present, with two differences. An event whose sender's clock is ahead counts
when it was received, and copies of an event are only found within the half hour. All workers, and a restarted worker, see
the same numbers, since they count only what is in the segments.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from math import inf

import msgspec
import numpy as np

from radar_assets.collector.hits import read_hit
from radar_assets.collector.tail import LOOK_S, Tail
from radar_assets.events.contract import CLOCK_TOLERANCE
from radar_assets.events.declarations import NOTHING_DECLARED, Declarations, nothing_declared
from radar_assets.events.landing import Landing
from radar_assets.windows import utc_now

MINUTES = 30
"""The current minute, which is not over, and those before it."""
RECENT = timedelta(minutes=5)
MAX_HITS = 1_000_000
"""Maximum events that are kept, of all projects together; the oldest minutes are dropped first. They take 60 MB, and three times
that while they are counted."""
MAX_TEXTS = 200_000
"""Maximum project ids, event names and page paths that are kept, of up to 200 characters each. Once half of that is used, new names
and paths count as `(other)`, so that pages can't displace projects."""
OTHER = "(other)"
NO_PAGE = "(none)"
FRESH_S = 0.2
"""Minimum time between two reads of the landing zone."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE = 60_000_000
_LONGEST_TEXT = 200
_AT_ONCE = 20_000
_BETWEEN_PAUSES = 64
_HIT = np.dtype(
    [
        ("event_id", "i8"),
        ("project", "i4"),
        ("at", "i8"),
        ("visitor_id", "i8"),
        ("user_id", "i8"),
        ("session_id", "i8"),
        ("event", "i4"),
        ("page", "i4"),
        ("is_visit", "?"),
    ]
)
"""Ids as hashes of 64 bits, 0 if absent; texts as their number in `_Texts`, -1 as the page of an event that is not a page view;
`at` in microseconds since 1970."""


class Minute(msgspec.Struct, frozen=True):
    """The numbers of the minute that starts at `at`."""

    at: datetime
    events: int
    page_views: int
    visitors: int


class Page(msgspec.Struct, frozen=True):
    """A path and its page views."""

    page: str
    page_views: int


class Name(msgspec.Struct, frozen=True):
    """An event name and its number of events."""

    event: str
    events: int


class Counts(msgspec.Struct, frozen=True):
    """What happened in a project until `at`. Times are naive, UTC.

    Attributes:
        complete_since: earlier minutes may lack events, because there were more than are kept, or because reading is still
            catching up.
        events, page_views, visitors: of the last five minutes, to the second.
        minutes: the last half hour, the oldest first; the last one is not over.
        top_pages, top_events: of the half hour, the most frequent first.
    """

    project: str
    at: datetime
    complete_since: datetime
    events: int
    page_views: int
    visitors: int
    minutes: list[Minute]
    top_pages: list[Page]
    top_events: list[Name]


def live_counts(
    landing: Landing,
    project: str,
    now: datetime | None = None,
    top: int = 10,
    declared: Declarations = NOTHING_DECLARED,
) -> Counts:
    """Count the last half hour before `now` (naive, UTC) once, however long that takes. To count repeatedly, keep a `Live`.

    Raises:
        OSError: the landing zone can't be read.
    """
    return Live(landing, lambda: declared, look_s=inf).read(project, now, top)


class Live:
    """Counts what a landing zone has of the last half hour, reading only what is new. Threads may share one.

    Args:
        declared: returns what the team declares at present. When that has changed, the half hour is read again.
        look_s: maximum duration of reading per call. Only after a start is there more to read.
        pause_s: pause after every few lines, which yields to other threads. Without it, concurrent requests to the collector take
            several times as long.
    """

    def __init__(
        self,
        landing: Landing,
        declared: Callable[[], Declarations] = nothing_declared,
        *,
        max_hits: int = MAX_HITS,
        look_s: float = LOOK_S,
        pause_s: float = 0.0,
    ) -> None:
        self._landing, self._look_s, self._max_hits, self._pause_s = landing, look_s, max_hits, pause_s
        self._read_declared = declared
        self._lock = threading.Lock()
        self._looked_at = -FRESH_S
        self._answers: dict[tuple[str, int], Counts] = {}
        self._begin(declared())

    def _begin(self, declared: Declarations) -> None:
        """Forget everything, and read events by these declarations from now on."""
        self._declared = declared
        self._tail = Tail(self._landing, self._look_s)
        self._texts = _Texts()
        self._hits, self._event_ids = np.empty(0, _HIT), np.empty(0, "i8")
        self._kept_since = 0

    def read(self, project: str, now: datetime | None = None, top: int = 10) -> Counts:
        """Count what has happened until now; an event counts as soon as it is acknowledged. Blocks while it reads.

        Args:
            now: naive, UTC; the present unless given.
            top: maximum number of pages and events to list.

        Raises:
            OSError: the landing zone can't be read.
        """
        with self._lock:
            if now is not None:
                self._look(now)
                return self._count(project, now, top)
            if time.monotonic() - self._looked_at >= FRESH_S:
                self._look(utc_now())
                self._answers.clear()
                self._looked_at = time.monotonic()
            if (project, top) not in self._answers:
                self._answers[project, top] = self._count(project, utc_now(), top)
            return self._answers[project, top]

    def _look(self, now: datetime) -> None:
        """Read new events, and drop old ones."""
        declared = self._read_declared()
        if declared != self._declared:
            self._begin(declared)
        first = _first_minute(now)
        self._keep(first)
        # A line with a received time further ahead than other clocks may be would never become too old.
        last = (now + CLOCK_TOLERANCE - _EPOCH) // _MICROSECOND
        for block in self._tail.read(_EPOCH + first * _MICROSECOND, now):
            lines = iter(block.split(b"\n"))
            while some := list(islice(lines, _AT_ONCE)):
                self._add(some, last)

    def _add(self, lines: list[bytes], last: int) -> None:
        rows = np.fromiter(self._rows(lines, last), _HIT)
        rows = rows[np.sort(np.unique(rows["event_id"], return_index=True)[1])]
        places = np.searchsorted(self._event_ids, rows["event_id"])
        known = np.append(self._event_ids, 0)[places] == rows["event_id"]
        self._hits = np.concatenate([self._hits, rows[~known]])
        self._event_ids = np.sort(self._hits["event_id"])
        while len(self._hits) > self._max_hits:
            self._keep(int(self._hits["at"].min()) // _MINUTE * _MINUTE + _MINUTE)

    def _rows(self, lines: list[bytes], last: int) -> Iterator[tuple[int | bool, ...]]:
        for number, line in enumerate(lines):
            if self._pause_s and number % _BETWEEN_PAUSES == 0:
                time.sleep(self._pause_s)
            hit = read_hit(line, self._declared) if line else None
            if hit is None or hit.is_bot or hit.is_internal:
                continue
            if not self._kept_since <= (at := (hit.at - _EPOCH) // _MICROSECOND) <= last:
                continue
            is_view = hit.event == "page_view"
            yield (
                hash((hit.project_id, hit.event_id)),
                self._texts.number(hit.project_id, share=1),
                at,
                hash(hit.visitor_id),
                hash(hit.user_id) if hit.user_id else 0,
                hash(hit.session_id) if hit.session_id else 0,
                self._texts.number(hit.event),
                self._texts.number(hit.page or NO_PAGE) if is_view else -1,
                hit.is_visit,
            )

    def _keep(self, since: int) -> None:
        """Drop earlier events."""
        if since <= self._kept_since:
            return
        self._kept_since = since
        self._hits = self._hits[self._hits["at"] >= since]
        self._event_ids = np.sort(self._hits["event_id"])
        self._texts.keep(*(self._hits[field] for field in ("project", "event", "page")))

    def _count(self, project: str, now: datetime, top: int) -> Counts:
        end, first = (now - _EPOCH) // _MICROSECOND, _first_minute(now)
        hits = self._hits[self._hits["project"] == self._texts.find(project)]
        hits = hits[(hits["at"] >= first) & (hits["at"] <= end)]
        recent = hits[hits["at"] > end - RECENT // _MICROSECOND]
        minute = (hits["at"] - first) // _MINUTE
        order = np.argsort(minute, kind="stable")
        minutes = np.split(hits[order], np.searchsorted(minute[order], range(1, MINUTES)))
        return Counts(
            project=project,
            at=now,
            complete_since=max(_EPOCH + max(first, self._kept_since) * _MICROSECOND, self._tail.complete_since),
            events=len(recent),
            page_views=_page_views(recent),
            visitors=_visitors(recent),
            minutes=[
                Minute(_EPOCH + (first + number * _MINUTE) * _MICROSECOND, len(of), _page_views(of), _visitors(of))
                for number, of in enumerate(minutes)
            ],
            top_pages=[Page(*pair) for pair in self._top(hits["page"][hits["page"] >= 0], top)],
            top_events=[Name(*pair) for pair in self._top(hits["event"], top)],
        )

    def _top(self, numbers: np.ndarray, top: int) -> list[tuple[str, int]]:
        texts, counts = np.unique(numbers, return_counts=True)
        pairs = ((self._texts.text(text), int(count)) for text, count in zip(texts, counts, strict=True))
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:top]


def _first_minute(now: datetime) -> int:
    return ((now - _EPOCH) // _MICROSECOND // _MINUTE - MINUTES + 1) * _MINUTE


def _page_views(hits: np.ndarray) -> int:
    return int((hits["page"] >= 0).sum())


def _visitors(hits: np.ndarray) -> int:
    """Distinct visitors; one whose device or session has a user id among the hits counts as that user."""
    signed_in, people = hits[hits["user_id"] != 0], hits[hits["is_visit"]]
    found = people["user_id"]
    for column in ("visitor_id", "session_id"):
        of_users = signed_in[signed_in[column] != 0]
        known, where = np.unique(of_users[column], return_index=True)
        places = np.searchsorted(known, people[column])
        is_known = np.append(known, 0)[places] == people[column]
        users = np.append(of_users["user_id"][where], 0)[places]
        found = np.where((found == 0) & is_known, users, found)
    return len(np.unique(np.where(found == 0, people["visitor_id"], found)))


class _Texts:
    """Numbered texts: those that hits refer to, limited in number."""

    def __init__(self) -> None:
        self._numbers = {OTHER: 0}
        self._texts = {0: OTHER}
        self._next = 1

    def number(self, text: str, *, share: float = 0.5) -> int:
        """The number of a text, which is added if less than `share` of the limit is used."""
        text = text[:_LONGEST_TEXT]
        number = self._numbers.get(text)
        if number is None:
            if len(self._texts) >= share * MAX_TEXTS:
                return 0
            number = self._numbers[text] = self._next
            self._texts[number] = text
            self._next += 1
        return number

    def find(self, text: str) -> int:
        """The number of a text; -1 if it is not kept."""
        return self._numbers.get(text, -1)

    def text(self, number: int) -> str:
        return self._texts[number]

    def keep(self, *numbers: np.ndarray) -> None:
        """Forget all other texts."""
        used = {0, *(int(number) for number in np.unique(np.concatenate(numbers)) if number > 0)}
        self._texts = {number: text for number, text in self._texts.items() if number in used}
        self._numbers = {text: number for number, text in self._texts.items()}
