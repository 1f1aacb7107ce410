"""What partitions of a table lack because it could not be computed, kept with the table: a level, like staleness.

It is a property of the Iceberg table, written by the commit that replaces the partitions.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import timedelta
from pathlib import Path

from radar_assets.windows import utc_now

PROPERTY = "radar.omissions"
KEPT_FOR = timedelta(hours=1)
"""How long `RecentOmissions` keeps one. An event that makes a metric slow is in the latest windows of five minutes for an hour."""
EXPENSIVE_REASONS = ("took more than", "out of memory")
"""How the reasons of `engines.limits.short_reason` begin after a timeout or without memory."""


@dataclass(frozen=True, order=True)
class Omission:
    """Something that a partition lacks.

    Attributes:
        name: what it is.
        definition: digest of its definition; once that changes, the partition is out of date.
        reason: why it is not there, without any value from the data.
    """

    name: str
    definition: str
    reason: str

    @property
    def is_expensive(self) -> bool:
        """Whether it costs much time or memory to try again."""
        return self.reason.startswith(EXPENSIVE_REASONS)


Omissions = Mapping[int, frozenset[Omission]]
"""What partitions lack, by hour or day since 1970; partitions that lack nothing are not in it."""


def merge(before: Omissions, replaced: Collection[int], found: Omissions) -> Omissions:
    """What partitions of a table lack once some of them have been replaced."""
    return {**{value: omissions for value, omissions in before.items() if value not in replaced}, **found}


def common_expensive(omissions: Omissions, partitions: Collection[int]) -> frozenset[Omission]:
    """The expensive omissions that all of some partitions have."""
    of_each = [omissions.get(value, frozenset()) for value in partitions]
    return frozenset(omission for omission in frozenset.intersection(*of_each) if omission.is_expensive)


def encode(omissions: Omissions) -> str:
    """The property's text, with partitions that follow each other as a range."""
    partitions: dict[Omission, list[int]] = {}
    for value, found in sorted(omissions.items()):
        for omission in found:
            partitions.setdefault(omission, []).append(value)
    return json.dumps([[*astuple(omission), _ranges(values)] for omission, values in sorted(partitions.items())])


def decode(text: str) -> dict[int, frozenset[Omission]]:
    """What a property's text says."""
    found: dict[int, set[Omission]] = {}
    for name, definition, reason, ranges in json.loads(text):
        for first, last in ranges:
            for value in range(first, last + 1):
                found.setdefault(value, set()).add(Omission(name, definition, reason))
    return {value: frozenset(omissions) for value, omissions in found.items()}


class RecentOmissions:
    """Omissions of values that are in no table, kept in a file for `KEPT_FOR`.

    The runs that compute such values are processes of their own, so nothing in memory would last. What another process adds at the
    same moment may be lost; it is found again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, definitions: Iterable[str]) -> frozenset[Omission]:
        """The omissions of some definitions."""
        wanted = set(definitions)
        return frozenset(omission for omission in self._read() if omission.definition in wanted)

    def add(self, omissions: Iterable[Omission]) -> None:
        """Keep omissions from now on."""
        until = (utc_now() + KEPT_FOR).isoformat()
        added = dict.fromkeys(omissions, until)
        if not added:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(f".{os.getpid()}")
        kept = self._read() | added
        fresh.write_text(json.dumps([[*astuple(omission), until] for omission, until in sorted(kept.items())]))
        fresh.replace(self._file)

    def _read(self) -> dict[Omission, str]:
        """The omissions that have not expired, with the time when they will."""
        now = utc_now().isoformat()
        try:
            rows = json.loads(self._file.read_text())
            return {Omission(*fields): until for *fields, until in rows if until > now}
        except (OSError, ValueError, TypeError):  # no file yet, or a damaged one
            return {}


def _ranges(values: Iterable[int]) -> list[list[int]]:
    """First and last of the stretches that ascending values form."""
    ranges: list[list[int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    return ranges
