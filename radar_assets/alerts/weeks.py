"""The windows that rules look at, and those that a window is compared with: the one before, or the same local time in earlier weeks.

Hours stay in UTC. Only the time zone's offset is looked up here, so that a clock change compares 9:00 with 9:00. Days are dates, which
have no offset.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from radar_assets.alerts.rules import WINDOWS, Against, Operator, Rule, WindowName
from radar_assets.calendar import zone_info
from radar_assets.lakehouse.files import EPOCH
from radar_assets.windows import DAY, Window

WEEK = timedelta(days=7)
WEEKS = 4
"""How many earlier weeks say what is usual."""
UTC_ONLY = ("UTC",)


def weeks_from(start: datetime, weeks: int, step: timedelta, zone: str = "UTC") -> datetime:
    """Start of the window at the same weekday and local time some weeks later, or earlier if `weeks` is negative.

    Of an hour that occurs twice in that week, it is the one with the same offset from UTC, else the first. An hour that was skipped is
    replaced by the one after it. A window of a day is a date, and so is the same one a week later.

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


def asked_windows(
    rule: Rule, span: Window, ended: datetime, zones: Collection[str] = UTC_ONLY, waiting: Iterable[datetime] = ()
) -> list[Window]:
    """The windows of a span, and later windows whose verdict depends on them, if they have ended.

    Args:
        ended: only windows that end by then.
        zones: time zones of the projects.
        waiting: starts of further windows.
    """
    step = rule.step
    first = EPOCH + (span.start - EPOCH) // step * step
    begun = {first + index * step for index in range(max(0, (span.end - first) // step))} | set(waiting)
    starts = set(begun)
    if rule.operator == "change_pct" and rule.against == "previous":
        starts |= {start + step for start in begun}
    elif rule.operator == "change_pct":
        starts |= {weeks_from(start, 1, step, zone) for start in begun for zone in zones}
    starts |= {start + offset * step for start in list(starts) for offset in range(1, rule.for_windows)}
    return [Window(start, start + step) for start in sorted(starts) if start + step <= ended]


def looked_at_by(rule: Rule, asked: Iterable[Window]) -> list[datetime]:
    """Starts of the requested windows and of the earlier windows that `for` considers."""
    return sorted({window.start - offset * rule.step for window in asked for offset in range(rule.for_windows)})


def plan_key(rule: Rule) -> tuple[bool, str, int]:
    """What determines which windows are requested for a rule."""
    return rule.operator == "change_pct", rule.against, rule.for_windows


def compared_starts(rules: Sequence[Rule], starts: set[datetime], zones: Collection[str]) -> set[datetime]:
    """Starts of the windows, and of the windows that rules compare them with."""
    kinds = {plan_key(rule)[:2]: rule for rule in rules}.values()
    compared = {
        compared_start(start, rule.operator, rule.against, rule.window, zone)
        for start in starts
        for rule in kinds
        for zone in zones
    }
    return starts | {start for start in compared if start}


def _offset(at: datetime, zone: str) -> timedelta:
    return at.replace(tzinfo=UTC).astimezone(zone_info(zone)).utcoffset() or timedelta(0)
