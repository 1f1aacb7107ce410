"""The calendar, against dates that Python's `zoneinfo` computes moment by moment, from the same database."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from radar_assets.calendar import ALWAYS, Calendar, ZoneChange, month_of, week_of, zone_info
from radar_assets.windows import DAY, HOUR, Window

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland"),
    *("Pacific/Honolulu", "Pacific/Apia", "America/St_Johns", "America/Sao_Paulo", "Africa/Casablanca"),
    *("Etc/GMT+12", "Pacific/Kiritimati", "Pacific/Chatham", "Asia/Tehran", "Africa/Monrovia"),
)
"""From UTC-12 to UTC+14, with half and quarter hours, clock changes at midnight and within Ramadan, and a skipped day."""
MICROSECOND = timedelta(microseconds=1)


def local_date(zone: str, moment: datetime) -> date:
    """The date of a zone at a moment in UTC."""
    return moment.replace(tzinfo=UTC).astimezone(zone_info(zone)).date()


def quarters(start: datetime, days: int) -> Iterator[datetime]:
    """Every quarter of an hour from a time on."""
    return (start + index * HOUR / 4 for index in range(days * 96))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [1972, 2011, 2026])
def test_dates_are_those_of_zoneinfo(zone: str, year: int) -> None:
    calendar, dice = Calendar({"p": zone}), random.Random(f"{zone} {year}")
    moments = [datetime(year, 1, 1) + timedelta(seconds=dice.randrange(365 * 86400)) for _ in range(500)]
    for moment in moments:
        assert calendar.date_of("p", moment) == local_date(zone, moment)
        hour = Window.of_hour(moment)
        assert set(calendar.days(hour)) >= {local_date(zone, hour.start), local_date(zone, hour.end - MICROSECOND)}
    for day in (date(year, 1, 1) + index * DAY for index in range(365)):
        bounds = calendar.bounds("p", Window.of_day(day))
        if bounds.start < bounds.end:
            assert local_date(zone, bounds.start) == local_date(zone, bounds.end - MICROSECOND) == day
            assert local_date(zone, bounds.start - MICROSECOND) < day < local_date(zone, bounds.end)


def test_days_have_23_to_25_hours_where_clocks_change_and_may_be_skipped() -> None:
    calendar = Calendar({"berlin": "Europe/Berlin", "lord howe": "Australia/Lord_Howe", "apia": "Pacific/Apia"})

    def length(project: str, *day: int) -> timedelta:
        bounds = calendar.bounds(project, Window.of_day(date(*day)))
        return bounds.end - bounds.start

    assert length("berlin", 2026, 3, 29) == 23 * HOUR
    assert length("berlin", 2026, 10, 25) == 25 * HOUR
    assert length("lord howe", 2026, 4, 5) == 24.5 * HOUR
    assert length("lord howe", 2026, 10, 4) == 23.5 * HOUR
    assert length("apia", 2011, 12, 30) == timedelta(0)
    assert length("apia", 2011, 12, 29) == length("apia", 2011, 12, 31) == DAY


@pytest.mark.parametrize("seed", range(5))
def test_a_day_and_its_hours_lead_to_each_other(seed: int) -> None:
    dice = random.Random(seed)
    zones = dice.sample(ZONES, 4)
    calendar = Calendar(dict(zip("abcd", zones, strict=True)))
    for moment in quarters(datetime(dice.choice([2011, 2026]), dice.randint(1, 12), 1), 3):
        days = calendar.days(Window(moment, moment + MICROSECOND))
        assert days == sorted({local_date(zone, moment) for zone in zones})
        for day in days:
            hours = calendar.hours_of(Window.of_day(day))
            assert hours.start <= moment < hours.end


def test_without_projects_days_are_those_of_utc() -> None:
    calendar, day = Calendar({}), date(2026, 11, 2)
    assert calendar.hours_of(Window.of_day(day)) == Window.of_day(day)
    assert calendar.days(Window.of_hour(datetime(2026, 11, 2, 23))) == [day]
    assert calendar.closings(day) == [datetime(2026, 11, 3)]
    assert calendar.relation(Window.of_day(day)).num_rows == 0
    assert calendar.date_of("unknown", datetime(2026, 11, 2, 23, 59)) == day


def test_a_day_lasts_from_the_first_zone_to_the_last() -> None:
    calendar, day = Calendar({"a": "Pacific/Kiritimati", "b": "UTC", "c": "Etc/GMT+12"}), date(2026, 11, 2)
    assert calendar.hours_of(Window.of_day(day)) == Window(datetime(2026, 11, 1, 10), datetime(2026, 11, 3, 12))
    assert calendar.closings(day) == [datetime(2026, 11, 2, 10), datetime(2026, 11, 3), datetime(2026, 11, 3, 12)]
    assert calendar.days(Window.of_hour(datetime(2026, 11, 2, 11))) == [date(2026, 11, 1), day, date(2026, 11, 3)]
    assert calendar.last_begun(datetime(2026, 11, 2, 10)) == date(2026, 11, 3)
    assert calendar.last_ended(datetime(2026, 11, 3, 11)) == date(2026, 11, 1)
    assert calendar.last_ended(datetime(2026, 11, 3, 12)) == day


@pytest.mark.parametrize("earlier", ZONES)
@pytest.mark.parametrize("later", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"])
def test_a_change_of_the_zone_leaves_earlier_days_as_they_are_and_loses_no_moment(earlier: str, later: str) -> None:
    first_day = date(2026, 11, 2)
    before = Calendar({"p": earlier})
    after = Calendar({"p": earlier}, [ZoneChange("0000000a", "p", first_day, later)])
    start = datetime(2026, 10, 29)
    dates = []
    for moment in quarters(start, 9):
        was, now = before.date_of("p", moment), after.date_of("p", moment)
        assert now == was if was < first_day else now == max(first_day, local_date(later, moment))
        dates.append(now)
    assert dates == sorted(dates)
    spans = after.relation(Window(start, start + 9 * DAY)).to_pylist()
    for moment in quarters(start, 9):
        (offset,) = [row["utc_offset"] for row in spans if row["starts_at"] <= moment < row["ends_at"]] or [timedelta()]
        assert (moment + offset).date() == after.date_of("p", moment)


def test_a_day_is_outdated_once_a_change_gives_it_other_hours() -> None:
    changes = [
        ZoneChange("0000000a", "p", date(2026, 11, 2), "Europe/Berlin"),
        ZoneChange("0000000b", "p", date(2026, 11, 9), "Asia/Kathmandu"),
        ZoneChange("0000000c", "q", ALWAYS, "Asia/Kathmandu"),
    ]
    assert Calendar({"p": "UTC", "q": "UTC"}).changed_since("") is None
    calendar = Calendar({"p": "UTC", "q": "UTC"}, changes[:2])
    assert calendar.revision == "0000000b"
    assert calendar.changed_since("") == date(2026, 11, 2)
    assert calendar.changed_since("0000000a") == date(2026, 11, 9)
    assert calendar.changed_since("0000000b") is None
    assert Calendar({"p": "UTC", "q": "UTC"}, changes).changed_since("0000000b") == ALWAYS
    # As after the store was restored from a backup.
    assert calendar.changed_since("0000000c") == ALWAYS


def test_a_later_change_replaces_those_of_its_days() -> None:
    changes = [
        ZoneChange("0000000a", "p", date(2026, 11, 9), "Europe/Berlin"),
        ZoneChange("0000000b", "p", date(2026, 11, 2), "Asia/Kathmandu"),
    ]
    calendar = Calendar({"p": "UTC"}, changes)
    for moment in quarters(datetime(2026, 11, 8), 4):
        assert calendar.date_of("p", moment) == local_date("Asia/Kathmandu", moment)
    assert calendar.date_of("p", datetime(2026, 11, 1, 23)) == date(2026, 11, 1)


@pytest.mark.parametrize(
    ("day", "before", "first", "last"),
    [
        (date(2026, 12, 27), 0, date(2026, 12, 21), date(2026, 12, 27)),
        (date(2026, 12, 31), 0, date(2026, 12, 28), date(2027, 1, 3)),
        (date(2027, 1, 3), 0, date(2026, 12, 28), date(2027, 1, 3)),
        (date(2027, 1, 4), 0, date(2027, 1, 4), date(2027, 1, 10)),
        (date(2027, 1, 4), 1, date(2026, 12, 28), date(2027, 1, 3)),
        (date(2027, 1, 10), 53, date(2025, 12, 29), date(2026, 1, 4)),
    ],
)
def test_weeks_are_from_monday_to_sunday_across_years(day: date, before: int, first: date, last: date) -> None:
    days = week_of(day, before).days()
    assert (days[0], days[-1], len(days)) == (first, last, 7)


def test_days_of_a_week_have_its_number() -> None:
    for day in Window(datetime(2015, 1, 1), datetime(2033, 1, 1)).days():
        year, week, _ = day.isocalendar()
        assert week_of(day).days() == [date.fromisocalendar(year, week, weekday) for weekday in range(1, 8)]
    assert date(2026, 12, 31).isocalendar().week == date(2027, 1, 3).isocalendar().week == 53


@pytest.mark.parametrize(
    ("day", "before", "first", "last"),
    [
        (date(2026, 12, 31), 0, date(2026, 12, 1), date(2026, 12, 31)),
        (date(2027, 1, 1), 0, date(2027, 1, 1), date(2027, 1, 31)),
        (date(2027, 1, 31), 1, date(2026, 12, 1), date(2026, 12, 31)),
        (date(2028, 3, 31), 1, date(2028, 2, 1), date(2028, 2, 29)),
        (date(2026, 12, 15), 12, date(2025, 12, 1), date(2025, 12, 31)),
        (date(2026, 12, 15), 23, date(2025, 1, 1), date(2025, 1, 31)),
    ],
)
def test_months_are_calendar_months_across_years(day: date, before: int, first: date, last: date) -> None:
    days = month_of(day, before).days()
    assert (days[0], days[-1], len(days)) == (first, last, (last - first).days + 1)
