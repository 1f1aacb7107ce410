"""Windows of time and the partition grids, in UTC.

Windows are half open, `[start, end)`. Their bounds are naive datetimes in UTC, as the tables store them.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DailyPartitionsDefinition, HourlyPartitionsDefinition

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOUR_KEY = "%Y-%m-%d-%H:%M"
DAY_KEY = "%Y-%m-%d"


@dataclass(frozen=True, order=True)
class Window:
    """A half-open span of time in UTC; `start` and `end` are naive datetimes."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"window ends ({self.end}) before it starts ({self.start})")

    @classmethod
    def of_hour(cls, hour: datetime) -> "Window":
        """The window of the hour that contains `hour`."""
        start = hour.replace(minute=0, second=0, microsecond=0)
        return cls(start, start + HOUR)

    @classmethod
    def of_day(cls, day: date) -> "Window":
        """The window of one day."""
        start = datetime(day.year, day.month, day.day)
        return cls(start, start + DAY)

    def widen(self, before: timedelta, after: timedelta | None = None) -> "Window":
        """The window extended by `before` at its start and by `after` at its end (default: the same)."""
        return Window(self.start - before, self.end + (before if after is None else after))

    def overlaps(self, other: "Window") -> bool:
        """Whether the windows overlap."""
        return self.start < other.end and other.start < self.end

    def hours(self) -> list[datetime]:
        """Starts of the hours that overlap the window, in order."""
        return self._steps(self.start.replace(minute=0, second=0, microsecond=0), HOUR)

    def days(self) -> list[date]:
        """The days that overlap the window, in order."""
        return [step.date() for step in self._steps(datetime(*self.start.timetuple()[:3]), DAY)]

    def _steps(self, first: datetime, step: timedelta) -> list[datetime]:
        count = max(0, -(-(self.end - first) // step))
        return [first + i * step for i in range(count)]


def to_window(given: "Window | tuple[date | str, date | str] | str") -> Window:
    """The window that a partition key or a pair of bounds stands for.

    Args:
        given: a key such as `2026-11-02` or `2026-11-02-03:00`, or two datetimes, dates or ISO strings, the second one excluded.
            Bounds without a zone are UTC.

    Raises:
        ValueError: the key or a bound is invalid, or the window ends before it starts.
    """
    if isinstance(given, Window):
        return given
    if isinstance(given, str):
        with suppress(ValueError):
            return Window.of_day(parse_day(given))
        with suppress(ValueError):
            return Window.of_hour(parse_hour(given))
        raise ValueError(f"invalid partition key {given!r}; write 2026-11-02 or 2026-11-02-03:00")
    try:
        start, end = given
    except (TypeError, ValueError):
        raise ValueError(f"invalid window {given!r}; give a partition key or a pair (start, end)") from None
    return Window(to_utc(start), to_utc(end))


def to_utc(given: date | str) -> datetime:
    """A datetime, a date (its midnight) or an ISO string as a naive datetime in UTC."""
    moment = datetime.fromisoformat(given if isinstance(given, str) else given.isoformat())
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def utc_now() -> datetime:
    """The current time as a naive datetime in UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def hour_key(hour: datetime) -> str:
    """Partition key of an hour, e.g. `2026-11-02-03:00`."""
    return hour.strftime(HOUR_KEY)


def day_key(day: date) -> str:
    """Partition key of a day, e.g. `2026-11-02`."""
    return day.strftime(DAY_KEY)


def parse_hour(key: str) -> datetime:
    """The hour of a partition key."""
    return datetime.strptime(key, HOUR_KEY)


def parse_day(key: str) -> date:
    """The day of a partition key."""
    return datetime.strptime(key, DAY_KEY).date()


@dataclass(frozen=True)
class Grids:
    """Dagster's partition definitions. They include the current hour and day.

    Attributes:
        hours: the only hours that the hourly grid has, in order; None for all. A run is over a range of partitions, and history may
            have events in few of its hours.
        days_before: days of the daily grid before the start date: in time zones west of UTC, the first hours belong to the day before.
        days_ahead: days of the daily grid after the current one in UTC, since they begin earlier in time zones east of it.
    """

    start_date: date
    hours: tuple[datetime, ...] | None = None
    days_before: int = 0
    days_ahead: int = 0

    @cached_property
    def hourly(self) -> "HourlyPartitionsDefinition":
        """Every hour since the start date, or the chosen ones."""
        from dagster import HourlyPartitionsDefinition

        if self.hours:
            left_out = sorted({*Window(self.hours[0], self.hours[-1]).hours()} - {*self.hours})
            exclusions = [hour.replace(tzinfo=UTC) for hour in left_out]
            return HourlyPartitionsDefinition(self.hours[0], end_offset=1, exclusions=exclusions)
        return HourlyPartitionsDefinition(self.start_date.strftime(HOUR_KEY), end_offset=1)

    @cached_property
    def daily(self) -> "DailyPartitionsDefinition":
        """Every day since the one that holds the start of the start date."""
        from dagster import DailyPartitionsDefinition

        return DailyPartitionsDefinition(self.first_day.strftime(DAY_KEY), end_offset=1 + self.days_ahead)

    def of(self, unit: str) -> "HourlyPartitionsDefinition | DailyPartitionsDefinition":
        """The grid of a unit, `hour` or `day`."""
        return self.hourly if unit == "hour" else self.daily

    @property
    def first_day(self) -> date:
        """The first partition of the daily grid."""
        return self.start_date - self.days_before * DAY

    def last_day(self, now: datetime) -> date:
        """The last partition of the daily grid."""
        return now.date() + self.days_ahead * DAY

    @property
    def start(self) -> datetime:
        """Start of the first hour."""
        return datetime(self.start_date.year, self.start_date.month, self.start_date.day)

    def start_of(self, unit: str) -> datetime:
        """Start of the first partition of a grid, `hour` or `day`."""
        return self.start if unit == "hour" else Window.of_day(self.first_day).start


def contiguous(starts: Iterable[datetime], step: timedelta, longest: int) -> list[Window]:
    """Join consecutive hours or days into windows of at most `longest` of them."""
    windows: list[Window] = []
    for start in sorted(starts):
        last = windows[-1] if windows else None
        if last and last.end == start and last.end - last.start < longest * step:
            windows[-1] = Window(last.start, start + step)
        else:
            windows.append(Window(start, start + step))
    return windows
