"""Which day it is for a project: the only place that knows which hours of UTC belong to a day, and back.

A day is a calendar day of the project's time zone. It has 23, 24 or 25 hours, or none if the zone skipped it. Offsets come from the
time zone database of the `tzdata` package, and reach SQL as a small relation, so that all engines agree.
"""

import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from radar_assets.windows import DAY, Window

if TYPE_CHECKING:
    import pyarrow as pa

ALWAYS = date.min
"""The first day of a time zone that a project has always had."""
FURTHEST = timedelta(hours=28)
"""No moment is further from midnight of its date in UTC plus a day than this: offsets are up to 16 h in the database, and up to 26 h
move at the day on which a project changes its zone."""
_SAMPLED = timedelta(hours=12)
"""Distance of the moments at which offsets are compared. No zone has changed its offset twice within it."""


class ZoneFrom(NamedTuple):
    """The time zone of a project from a day on.

    Attributes:
        first_day: begins when the previous zone's date first reaches it.
        zone: IANA name.
    """

    first_day: date
    zone: str


@dataclass(frozen=True)
class ZoneChange:
    """A change of a project's time zone, in the order in which they were made.

    Attributes:
        id: identifies the change.
        first_day: the first day whose hours it changes.
    """

    id: str
    project_id: str
    first_day: date
    zone: str


class Span(NamedTuple):
    """A stretch of UTC with one offset; `start` and `end` are naive."""

    start: datetime
    end: datetime
    offset: timedelta


Zones = tuple[ZoneFrom, ...]
"""The time zones of a project, in the order of their first days. The first one is `ALWAYS`."""
IN_UTC: Zones = (ZoneFrom(ALWAYS, "UTC"),)


class Calendar:
    """The days of all projects, at one moment: later changes of time zones don't change it.

    Args:
        zones: the time zone that each project had at first. Without projects, days are those of UTC.
        changes: all changes since, oldest first.
    """

    def __init__(self, zones: Mapping[str, str], changes: Sequence[ZoneChange] = ()) -> None:
        self._changes = tuple(changes)
        self._zones: dict[str, Zones] = {project: (ZoneFrom(ALWAYS, zone),) for project, zone in zones.items()}
        for change in changes:
            kept = (each for each in self._zones[change.project_id] if each.first_day < change.first_day)
            self._zones[change.project_id] = (*kept, ZoneFrom(change.first_day, change.zone))

    @property
    def zones(self) -> Mapping[str, Zones]:
        """The time zones of each project."""
        return self._zones

    @property
    def revision(self) -> str:
        """Identifies the last change of a time zone; empty before the first one."""
        return self._changes[-1].id if self._changes else ""

    @property
    def is_utc(self) -> bool:
        """Whether the days of all projects are those of UTC."""
        return self._in_use == {IN_UTC}

    def changed_since(self, revision: str) -> date | None:
        """The first day whose hours have changed since a revision; `ALWAYS` if the revision is unknown, None if none has."""
        revisions = ["", *(change.id for change in self._changes)]
        if revision not in revisions:
            return ALWAYS
        later = self._changes[revisions.index(revision) :]
        return min((change.first_day for change in later), default=None)

    def date_of(self, project_id: str, moment: datetime) -> date:
        """The date of a project at a moment in UTC. Unknown projects are in UTC."""
        (span,) = spans(self._zones.get(project_id, IN_UTC), Window(moment, moment + timedelta(microseconds=1)))
        return (moment + span.offset).date()

    def zone_of(self, project_id: str, day: date) -> str:
        """The time zone of a project on a day. Unknown projects are in UTC."""
        return [zone for first_day, zone in self._zones.get(project_id, IN_UTC) if first_day <= day][-1]

    def days(self, window: Window) -> list[date]:
        """The days that a window of UTC falls into, in any project, in order."""
        return sorted({day for zones in self._in_use for day in days_of(zones, window)})

    def hours_of(self, days: Window) -> Window:
        """The window of UTC that holds days of all projects: from the earliest start to the latest end."""
        bounds = [bound for zones in self._in_use if (bound := bounds_of(zones, days))]
        # Days that all projects skipped have no hours.
        return Window(min(each.start for each in bounds), max(each.end for each in bounds)) if bounds else days

    def bounds(self, project_id: str, days: Window) -> Window:
        """The hours of days of one project. Days that it skipped are empty."""
        found = bounds_of(self._zones.get(project_id, IN_UTC), days)
        return found or Window(days.start, days.start)

    def closings(self, day: date) -> list[datetime]:
        """The moments in UTC at which a day ends somewhere, in order."""
        return sorted({self._end(zones, day) for zones in self._in_use})

    def last_begun(self, moment: datetime) -> date:
        """The latest day that has begun somewhere by a moment in UTC."""
        return self.days(Window(moment, moment + timedelta(microseconds=1)))[-1]

    def last_ended(self, moment: datetime) -> date:
        """The latest day that has ended everywhere by a moment in UTC."""
        return self.days(Window(moment, moment + timedelta(microseconds=1)))[0] - DAY

    def is_ahead(self, moment: datetime) -> bool:
        """Whether a day begins somewhere before it begins in UTC, within a year of a moment."""
        year = Window(moment, moment).widen(timedelta(days=366))
        return any(span.offset > timedelta(0) for zones in self._in_use for span in spans(zones, year))

    def relation(self, window: Window) -> "pa.Table":
        """The offsets from UTC in a window, as a relation for models.

        Returns:
            Rows (project_id, starts_at, ends_at, utc_offset), with half-open spans in UTC; none for spans in which a project has the
            offset zero.
        """
        import pyarrow as pa

        rows = [
            (project, *span) for project, zones in self._zones.items() for span in spans(zones, window) if span.offset
        ]
        names = ("project_id", "starts_at", "ends_at", "utc_offset")
        types = (pa.string(), pa.timestamp("us"), pa.timestamp("us"), pa.duration("us"))
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pa.table(
            {name: pa.array(list(column), kind) for name, kind, column in zip(names, types, columns, strict=True)}
        )

    @property
    def _in_use(self) -> set[Zones]:
        return set(self._zones.values()) or {IN_UTC}

    def _end(self, zones: Zones, day: date) -> datetime:
        start = datetime(day.year, day.month, day.day)
        found = bounds_of(zones, Window(start, start + DAY))
        # A skipped day ends when the day after it starts.
        while found is None:
            start += DAY
            if following := bounds_of(zones, Window(start, start + DAY)):
                return following.start
        return found.end


DAYS_IN_UTC = Calendar({})


def spans(zones: Zones, window: Window) -> list[Span]:
    """The offsets from UTC in a window, for a project that had these time zones, in order and without gaps."""
    found: list[Span] = []
    begins = [datetime.min, *_beginnings(zones), datetime.max]
    for each, (start, end) in zip(zones, pairwise(begins), strict=True):
        if max(start, window.start) < min(end, window.end):
            for span in _spans_of(each.zone, Window(max(start, window.start), min(end, window.end))):
                found += _not_before(each.first_day, span)
    return found


def days_of(zones: Zones, window: Window) -> set[date]:
    """The days that a window of UTC falls into."""
    days: set[date] = set()
    for start, end, offset in spans(zones, window):
        days |= set(Window(start + offset, end + offset).days())
    return days


def bounds_of(zones: Zones, days: Window) -> Window | None:
    """The window of UTC from the start of the first day to the end of the last one; None if the zone skipped these days."""
    found = [
        Window(max(start, days.start - offset), min(end, days.end - offset))
        for start, end, offset in spans(zones, days.widen(FURTHEST))
        if max(start, days.start - offset) < min(end, days.end - offset)
    ]
    return Window(found[0].start, found[-1].end) if found else None


def zones_key(zones: Zones) -> str:
    """Identifies the days of projects: the name of their time zone, or all of them if they have changed it."""
    return " ".join([zones[0].zone, *(f"{first_day} {zone}" for first_day, zone in zones[1:])])


def begin_of(zones: Zones, day: date) -> datetime:
    """When a day begins; of a skipped day, when the next one does."""
    start = datetime(day.year, day.month, day.day)
    while (found := bounds_of(zones, Window(start, start + DAY))) is None:
        start += DAY
    return found.start


@cache
def _beginnings(zones: Zones) -> tuple[datetime, ...]:
    """When each zone after the first one begins."""
    begins: list[datetime] = []
    for (_, zone), (first_day, _) in pairwise(zones):
        midnight = datetime(first_day.year, first_day.month, first_day.day)
        around = _spans_of(zone, Window(midnight - FURTHEST, midnight + FURTHEST))
        begin = min(max(start, midnight - offset) for start, end, offset in around if midnight - offset < end)
        begins.append(max([begin, *begins]))
    return tuple(begins)


def _not_before(first_day: date, span: Span) -> list[Span]:
    """A span whose dates are not before the first day of its zone: earlier moments belong to that day too."""
    if first_day == ALWAYS:
        return [span]
    midnight = datetime(first_day.year, first_day.month, first_day.day)
    found, start, end = [], span.start, min(span.end, midnight - span.offset)
    while start < end:
        stop = min(end, start + DAY)
        found.append(Span(start, stop, midnight - start))
        start = stop
    return [*found, Span(start, span.end, span.offset)] if start < span.end else found


def _spans_of(zone: str, window: Window) -> list[Span]:
    """The offsets of a zone in a window."""
    return [
        Span(max(start, window.start), min(end, window.end), offset)
        for year in range(window.start.year, window.end.year + 1)
        for start, end, offset in _spans_of_year(zone, year)
        if start < window.end and end > window.start
    ]


@cache
def _spans_of_year(zone: str, year: int) -> tuple[Span, ...]:
    first, last = datetime(year, 1, 1), datetime(year + 1, 1, 1) if year < 9999 else datetime.max
    sampled = [*(first + index * _SAMPLED for index in range((last - first) // _SAMPLED)), last]
    offsets = [_offset(zone, moment) for moment in sampled]
    changes = [
        _transition(zone, low, high)
        for (low, high), (before, after) in zip(pairwise(sampled), pairwise(offsets), strict=True)
        if before != after
    ]
    return tuple(Span(start, end, _offset(zone, start)) for start, end in pairwise([first, *changes, last]))


def _transition(zone: str, low: datetime, high: datetime) -> datetime:
    """When the offset changes between two moments, of which only the second one has the new offset."""
    before = _offset(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // timedelta(seconds=2) * timedelta(seconds=1)
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return high


def _offset(zone: str, moment: datetime) -> timedelta:
    info = zone_info(zone)
    return info.fromutc(moment.replace(tzinfo=info)).utcoffset() or timedelta(0)


def week_of(day: date, before: int = 0) -> Window:
    """The days of the ISO week that holds a day, from Monday to Monday, or of a week before it.

    Args:
        before: the number of weeks before it.
    """
    monday = day - (day.weekday() + 7 * before) * DAY
    return Window(Window.of_day(monday).start, Window.of_day(monday + 7 * DAY).start)


def month_of(day: date, before: int = 0) -> Window:
    """The days of the calendar month that holds a day, or of a month before it.

    Args:
        before: the number of months before it.
    """
    start, end = (divmod(12 * day.year + day.month - 1 - before + ahead, 12) for ahead in (0, 1))
    return Window(datetime(start[0], start[1] + 1, 1), datetime(end[0], end[1] + 1, 1))


@cache
def zone_info(name: str) -> zoneinfo.ZoneInfo:
    """A time zone of the pinned database, whatever the system's own database holds.

    Raises:
        ZoneInfoNotFoundError: the database has no zone of this name.
    """
    try:
        with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError) as error:
        raise zoneinfo.ZoneInfoNotFoundError(f"no time zone {name!r}") from error


@cache
def zone_names() -> frozenset[str]:
    """The names of all time zones of the pinned database."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())
