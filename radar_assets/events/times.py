"""How times are written by SDKs and by people: the patterns, for Python and for SQL engines, and their reading in Python.

Which times an event may have is declared in `contract.py`; `contract_sql.py` puts the patterns into SQL.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

RFC3339 = (
    r"(?:19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[-+](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
"""Times with a zone, as most SDKs write them. All other patterns are for the few that don't. None checks the length of months."""

_BLANKS = r"[ \t\r\n]*"
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_MONTH = "|".join(re.findall("...", MONTHS))
_WEEKDAY = rf"{_BLANKS}(?:[A-Z][a-z]{{2,8}},? +)?"
REARRANGED = (
    (rf"^{_WEEKDAY}([0-9]{{1,2}})[ -]({_MONTH})[ -]([0-9]{{4}})", r"\3-\2-\1"),
    (rf"^{_WEEKDAY}({_MONTH}) ([0-9]{{1,2}}),? ([0-9]{{4}})", r"\3-\1-\2"),
)
"""Dates of RFC 2822 and of JavaScript's `toString()`, and their replacement with the year first."""
_CLOCK = r"([01][0-9]|2[0-3]):?([0-5][0-9])(?::?([0-5][0-9])(?:[.,]([0-9]+))?)?"
_ZONE = r" *(?:[Zz]|(?:UTC|GMT)?(?:([-+])([01][0-9]|2[0-3]):?([0-5][0-9])?)?)"
WRITTEN = (
    rf"{_BLANKS}((?:19|2[0-9])[0-9]{{2}})[-/]?([0-9]{{2}}|{_MONTH})[-/]?([0-9]{{1,2}})"
    rf"(?:(?:[Tt]| +){_CLOCK}{_ZONE})?(?:\[[A-Za-z0-9_/+-]+\]| *\([^()]*\))?{_BLANKS}"
)
"""Dates and times of ISO 8601 and its variants: year, month, day, hour, minute, second, fraction, then sign, hours and minutes of
the offset."""
EPOCH = rf"{_BLANKS}([1-9][0-9]{{8,19}})(?:\.([0-9]*))?{_BLANKS}"
"""Seconds, milliseconds, microseconds or nanoseconds since 1970: the whole number, whose digits tell the unit, and its fraction."""
EPOCH_DIGITS = {11: 6, 14: 3, 17: 0, 20: -3}
"""The unit by the most digits of the whole number: the digits to add to it for microseconds."""
EPOCH_END = datetime(3000, 1, 1)
NO_TIME = rf"{_BLANKS}(?:0+(?:\.0*)?|000[01]-.*)?{_BLANKS}"
"""Blank text, zero, and the zero times of Go and MySQL."""

_EPOCH_START = datetime(1970, 1, 1)
_RFC3339, _WRITTEN, _EPOCH, _NO_TIME = map(re.compile, (RFC3339, WRITTEN, EPOCH, NO_TIME))
_REARRANGED = [(re.compile(pattern), replacement) for pattern, replacement in REARRANGED]


def read_time(text: str) -> datetime | None:
    """A time as naive UTC; `None` if it can't be read.

    Times without a zone are in UTC, and dates are midnight. Digits beyond microseconds are dropped.
    """
    with suppress(ValueError, OverflowError):
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
        if match := _EPOCH.fullmatch(text):
            return _since_1970(match[1], match[2] or "")
        for pattern, replacement in _REARRANGED:
            text = pattern.sub(replacement, text, count=1)
        if match := _WRITTEN.fullmatch(text):
            return _written(*(group or "" for group in match.groups()))
    return None


def is_no_time(text: str) -> bool:
    """Whether a text stands for no time, such as `0` or `0001-01-01T00:00:00Z`."""
    return _NO_TIME.fullmatch(text) is not None


def _since_1970(whole: str, fraction: str) -> datetime | None:
    added = next(added for digits, added in EPOCH_DIGITS.items() if len(whole) <= digits)
    micros = whole + fraction[:added].ljust(added, "0") if added >= 0 else whole[:added]
    at = _EPOCH_START + timedelta(microseconds=int(micros))
    return at if at < EPOCH_END else None


def _written(
    year: str,
    month: str,
    day: str,
    hour: str,
    minute: str,
    second: str,
    fraction: str,
    sign: str,
    hours: str,
    minutes: str,
) -> datetime:
    number = int(month) if month.isdigit() else MONTHS.index(month) // 3 + 1
    at = datetime(
        int(year), number, int(day), int(hour or 0), int(minute or 0), int(second or 0), int(fraction[:6].ljust(6, "0"))
    )
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return at + offset if sign == "-" else at - offset
