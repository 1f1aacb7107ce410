"""The windows that a window is compared with: the one before, or the same local time in earlier weeks.

Tables stay in UTC. Only the time zone's offset is looked up here, so that a clock change compares 9:00 with 9:00.
"""

from datetime import UTC, datetime, timedelta

from radar_assets.alerts.rules import WINDOWS, Against, Operator, WindowName
from radar_assets.calendar import zone_info
from radar_assets.lakehouse.files import EPOCH
from radar_assets.windows import DAY

WEEK = timedelta(days=7)
WEEKS = 4
"""How many earlier weeks say what is usual."""


def weeks_from(start: datetime, weeks: int, step: timedelta, zone: str = "UTC") -> datetime:
    """Start of the window at the same weekday and local time some weeks later, or earlier if `weeks` is negative.

    Of an hour that occurs twice in that week, it is the one with the same offset from UTC, else the first. An hour that was skipped is
    replaced by the one after it. Windows of a day are days in UTC, in any time zone.

    Args:
        start: naive, UTC, like the result.
        step: length of the windows.
        zone: IANA name.
    """
    there = start + weeks * WEEK
    if zone == "UTC" or step >= DAY:
        return there
    shift = _offset(start, zone) - _offset(there, zone)
    # Where clocks change by half an hour, hours of UTC are not hours of both sides.
    return EPOCH + (there + shift - EPOCH) // step * step if shift else there


def compared_start(
    start: datetime, operator: Operator, against: Against, window: WindowName, zone: str = "UTC"
) -> datetime | None:
    """Start of the window that a rule compares a window with; None if it compares with none."""
    if operator != "change_pct":
        return None
    step = WINDOWS[window]
    return start - step if against == "previous" else weeks_from(start, -1, step, zone)


def _offset(at: datetime, zone: str) -> timedelta:
    return at.replace(tzinfo=UTC).astimezone(zone_info(zone)).utcoffset() or timedelta(0)
