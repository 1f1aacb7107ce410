"""Finds stale partitions by comparing the data files of a table with those of its input.

A partition is stale if its input has a file newer than the state that the partition was built from. Both are part of the commits, so
nothing is lost if a run dies between its commit and its report. A day that is built from hours is also stale if a project's time zone
has changed since, so that it has other hours.
"""

from collections.abc import Callable, Collection
from datetime import date, timedelta

from radar_assets.calendar import Calendar
from radar_assets.lakehouse.files import STEP, FileRef, from_unit, to_unit, unit_range
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.windows import Window, contiguous, utc_now

MISSING_AFTER = timedelta(hours=2)
"""How long after its end a day that was not built counts as missing: an hour after the schedule should have closed it."""


def stale(
    parent: Snapshot, child: Snapshot, calendar: Calendar, *, newer_than: int = 0, within: Window | None = None
) -> dict[int, int]:
    """The child's stale partitions.

    Args:
        newer_than: consider only changes of the parent after this sequence number.
        within: consider only this window of the child.

    Returns:
        Sequence number of the parent's last change, by hour or day since 1970 in the child's grid; 0 if only time zones have changed.
    """
    by, units = child.table.time_field(parent.table), _units(parent, child, calendar)
    moved = with_other_hours(child, calendar)
    changed = dict.fromkeys(moved, 0)
    for value, number in parent.changes(
        *_windows(parent, child, calendar, within), index=by, newer_than=newer_than
    ).items():
        for unit in units(value):
            changed[unit] = max(number, changed.get(unit, 0))
    if within is not None:
        wanted = range(*unit_range(child.table, within))
        changed = {unit: number for unit, number in changed.items() if unit in wanted}
    if not changed:
        return {}
    built = _built_from(parent, child, min(changed), max(changed)) | dict.fromkeys(moved, -1)
    return {unit: number for unit, number in changed.items() if number > built.get(unit, 0)}


def changed_hours(parent: Snapshot, child: Snapshot, calendar: Calendar, within: Window) -> dict[int, list[Window]]:
    """The hours of the parent that have changed since the child's days were built that they fall into.

    Most projects have other days, so a day may be complete for one project while hours of it change for another.

    Args:
        within: consider only these days of the child.

    Returns:
        The hours by day since 1970; those of all projects for days that time zones have changed.
    """
    by, units = child.table.time_field(parent.table), _units(parent, child, calendar)
    wanted = range(*unit_range(child.table, within))
    found: dict[int, list[Window]] = {}
    for unit in with_other_hours(child, calendar).intersection(wanted):
        found[unit] = [calendar.hours_of(Window.of_day(from_unit(unit, child.table.grid)))]
    changes = parent.changes(*_windows(parent, child, calendar, within), index=by)
    if not changes or not wanted:
        return found
    built = _built_from(parent, child, wanted[0], wanted[-1])
    for value, number in changes.items():
        for unit in units(value):
            if unit in wanted and number > built.get(unit, 0):
                found.setdefault(unit, []).append(Window.of_hour(from_unit(value, parent.table.grid)))
    return found


def _units(parent: Snapshot, child: Snapshot, calendar: Calendar) -> Callable[[int], Collection[int]]:
    """The child's partitions that each of the parent's falls into."""
    if parent.table.partition_by[child.table.time_field(parent.table)][1] == child.table.grid:
        return lambda value: (value,)
    return lambda value: [
        to_unit(Window.of_day(day).start, "day") for day in calendar.days(Window.of_hour(from_unit(value, "hour")))
    ]


def _windows(parent: Snapshot, child: Snapshot, calendar: Calendar, within: Window | None) -> list[Window | None]:
    """The windows of the parent, one for each partition field, that hold a window of the child."""
    if within and child.table.grid == "day" and parent.table.grid == "hour":
        within = calendar.hours_of(within)
    by = child.table.time_field(parent.table)
    return [*[None] * by, within]


def with_other_hours(child: Snapshot, calendar: Calendar) -> set[int]:
    """The days that were built before a change of a time zone that gives them other hours."""
    if not child.table.has_days_of_hours or not calendar.revision:
        return set()
    found: set[int] = set()
    for ref in child.files():
        value, changed = ref.partition[0], calendar.changed_since(ref.origin.calendar)
        if value is not None and changed is not None and from_unit(value, "day").date() >= changed:
            found.add(value)
    return found


def missing_days(table: Snapshot, since: date, until: date) -> set[int]:
    """Days without events after the first day of a daily table that were never built, in days since 1970. Empty for hourly tables,
    whose hours are only built if they have events.

    Args:
        since: leave out earlier days.
        until: leave out later days.
    """
    if table.table.grid != "day":
        return set()
    built = {ref.partition[0] for ref in table.files() if ref.partition[0] is not None}
    if not built:
        return set()
    first, last = (to_unit(Window.of_day(day).start, "day") for day in (since, until))
    return set(range(max(min(built), first), last + 1)) - built


def unbuilt(
    parent: Snapshot, child: Snapshot, calendar: Calendar, since: date, *, newer_than: int = 0
) -> dict[int, int]:
    """The partitions that are stale or missing, as `stale` returns them; missing ones have the sequence number 0."""
    missing = missing_days(child, since, calendar.last_ended(utc_now() - MISSING_AFTER))
    return {**dict.fromkeys(missing, 0), **stale(parent, child, calendar, newer_than=newer_than)}


def unread_files(
    parent: Snapshot, child: Snapshot, calendar: Calendar, within: Window | None = None
) -> dict[int, list[FileRef]]:
    """The parent's files that are newer than the child's stale partitions.

    Args:
        within: consider only this window of the child.

    Returns:
        Files by hour or day since 1970 in the child's grid.
    """
    by, units = child.table.time_field(parent.table), _units(parent, child, calendar)
    found: dict[int, list[FileRef]] = {}
    for ref in parent.files(*_windows(parent, child, calendar, within)):
        value = ref.partition[by]
        for unit in () if value is None else units(value):
            found.setdefault(unit, []).append(ref)
    if not found:
        return {}
    built = _built_from(parent, child, min(found), max(found))
    unread = {unit: [ref for ref in refs if ref.sequence_number > built.get(unit, 0)] for unit, refs in found.items()}
    return {unit: refs for unit, refs in unread.items() if refs}


def outdated(table: Snapshot, definitions: Collection[str], within: Window | None = None) -> set[int]:
    """The partitions with omissions whose definition has changed or was removed, by hour or day since 1970.

    Args:
        definitions: digests of the current definitions.
        within: consider only this window of the table.
    """
    found = {
        value
        for value, omissions in table.omissions.items()
        if any(omission.definition not in definitions for omission in omissions)
    }
    return found if within is None else found & set(range(*unit_range(table.table, within)))


def of_earlier_versions(table: Snapshot) -> set[int]:
    """The partitions that were built with an earlier version of the table's definition, by hour or day since 1970."""
    return {
        ref.partition[0] for ref in table.files() if ref.version < table.table.version and ref.partition[0] is not None
    }


def stale_windows(
    parent: Snapshot, child: Snapshot, calendar: Calendar, within: Window, definitions: Collection[str] = ()
) -> list[Window]:
    """The stale and outdated partitions of the child in a window, with adjacent ones joined."""
    unit = child.table.grid
    values = {*stale(parent, child, calendar, within=within), *outdated(child, definitions, within)}
    return contiguous((from_unit(value, unit) for value in values), STEP[unit], len(values))


def _built_from(parent: Snapshot, child: Snapshot, first: int, last: int) -> dict[int, int]:
    """The parent's sequence number that each partition of the child was built from, for a range of hours or days since 1970.

    It is 0 if a recovery lost that state of the parent.
    """
    unit = child.table.grid
    built: dict[int, int] = {}
    for ref in child.files(Window(from_unit(first, unit), from_unit(last, unit) + STEP[unit])):
        value = ref.partition[0]
        if value is not None:
            number = 0 if parent.is_lost(ref.built_from) else ref.built_from
            built[value] = min(number, built.get(value, number))
    return built
