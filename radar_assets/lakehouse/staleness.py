"""Finds stale partitions by comparing the data files of a table with those of its input.

A partition is stale if its input has a file newer than the state that the partition was built from. Both are part of the commits, so
nothing is lost if a run dies between its commit and its report.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from radar_assets.lakehouse.files import STEP, FileRef, from_unit, to_unit, unit_range
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.windows import Window, contiguous, utc_now

MISSING_AFTER = timedelta(hours=2)
"""How long after its end a day that was not built counts as missing: an hour after the schedule should have closed it."""


def stale(parent: Snapshot, child: Snapshot, *, newer_than: int = 0, within: Window | None = None) -> dict[int, int]:
    """The child's stale partitions.

    Args:
        newer_than: consider only changes of the parent after this sequence number.
        within: consider only this window of the parent.

    Returns:
        Sequence number of the parent's last change, by hour or day since 1970 in the child's grid.
    """
    by = child.table.time_field(parent.table)
    windows = [within if index == by else None for index in range(by + 1)]
    parent_unit, child_unit = parent.table.partition_by[by][1], child.table.grid
    changed: dict[int, int] = {}
    for value, sequence_number in parent.changes(*windows, index=by, newer_than=newer_than).items():
        unit = value if parent_unit == child_unit else to_unit(from_unit(value, parent_unit), child_unit)
        changed[unit] = max(sequence_number, changed.get(unit, 0))
    if not changed:
        return {}
    built = _built_from(parent, child, min(changed), max(changed))
    return {unit: number for unit, number in changed.items() if number > built.get(unit, 0)}


def missing_days(table: Snapshot, since: datetime, ended_by: datetime) -> set[int]:
    """Days without events after the first day of a daily table that were never built, in days since 1970. Empty for hourly tables,
    whose hours are only built if they have events.

    Args:
        since: leave out earlier days.
        ended_by: leave out days that end later.
    """
    if table.table.grid != "day":
        return set()
    built = {ref.partition[0] for ref in table.files() if ref.partition[0] is not None}
    if not built:
        return set()
    return set(range(max(min(built), to_unit(since, "day")), to_unit(ended_by, "day"))) - built


def unbuilt(parent: Snapshot, child: Snapshot, since: datetime, *, newer_than: int = 0) -> dict[int, int]:
    """The partitions that are stale or missing, as `stale` returns them; missing ones have the sequence number 0."""
    missing = dict.fromkeys(missing_days(child, since, utc_now() - MISSING_AFTER), 0)
    return {**missing, **stale(parent, child, newer_than=newer_than)}


def unread_files(parent: Snapshot, child: Snapshot, within: Window) -> dict[int, list[FileRef]]:
    """The parent's files that are newer than the child's stale partitions.

    Args:
        within: consider only this window of the parent.

    Returns:
        Files by hour or day since 1970 in the child's grid.
    """
    by = child.table.time_field(parent.table)
    parent_unit, child_unit = parent.table.partition_by[by][1], child.table.grid
    found: dict[int, list[FileRef]] = {}
    for ref in parent.files(*(within if index == by else None for index in range(by + 1))):
        value = ref.partition[by]
        if value is not None:
            found.setdefault(to_unit(from_unit(value, parent_unit), child_unit), []).append(ref)
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


def stale_windows(parent: Snapshot, child: Snapshot, within: Window, definitions: Collection[str] = ()) -> list[Window]:
    """The stale and outdated partitions of the child in a window, with adjacent ones joined. Both tables have the same grid."""
    unit = child.table.grid
    values = {*stale(parent, child, within=within), *outdated(child, definitions, within)}
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
