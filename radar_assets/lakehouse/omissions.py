"""Omissions: metrics that partitions of a table lack because they could not be computed.

They are a property of the Iceberg table, written by the commit that replaces the partitions.
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
"""How long `RecentOmissions` keeps an omission: as long as an event stays in the latest five-minute windows."""
EXPENSIVE_REASONS = ("took more than", "out of memory")
"""Prefixes of `engines.limits.short_reason` for timeouts and for memory."""


@dataclass(frozen=True, order=True)
class Omission:
    """A metric, or another part of a model, that a partition lacks.

    Attributes:
        name: name of the metric.
        definition: digest of its definition. Once that changes, the partition is outdated.
        reason: the kind of error, without values of rows.
    """

    name: str
    definition: str
    reason: str

    @property
    def is_expensive(self) -> bool:
        """Whether a retry would take much time or memory."""
        return self.reason.startswith(EXPENSIVE_REASONS)


Omissions = Mapping[int, frozenset[Omission]]
"""Omissions by hour or day since 1970. Complete partitions have no entry."""


def merge(before: Omissions, replaced: Collection[int], found: Omissions) -> Omissions:
    """The omissions of a table after some of its partitions have been replaced."""
    return {**{value: omissions for value, omissions in before.items() if value not in replaced}, **found}


def common_expensive(omissions: Omissions, partitions: Collection[int]) -> frozenset[Omission]:
    """The expensive omissions that some partitions have in common."""
    of_each = [omissions.get(value, frozenset()) for value in partitions]
    return frozenset(omission for omission in frozenset.intersection(*of_each) if omission.is_expensive)


def encode(omissions: Omissions) -> str:
    """Omissions as text, with consecutive partitions as ranges."""
    partitions: dict[Omission, list[int]] = {}
    for value, found in sorted(omissions.items()):
        for omission in found:
            partitions.setdefault(omission, []).append(value)
    return json.dumps([[*astuple(omission), _ranges(values)] for omission, values in sorted(partitions.items())])


def decode(text: str) -> dict[int, frozenset[Omission]]:
    """Omissions from text."""
    found: dict[int, set[Omission]] = {}
    for name, definition, reason, ranges in json.loads(text):
        for first, last in ranges:
            for value in range(first, last + 1):
                found.setdefault(value, set()).add(Omission(name, definition, reason))
    return {value: frozenset(omissions) for value, omissions in found.items()}


class RecentOmissions:
    """Omissions of values that no table holds, in a file, for `KEPT_FOR`.

    Runs are separate processes, so they can't share memory. If two runs write at the same time, one of them may lose its omissions and
    find them again later.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, definitions: Iterable[str]) -> frozenset[Omission]:
        """The omissions of some definitions."""
        wanted = set(definitions)
        return frozenset(omission for omission in self._read() if omission.definition in wanted)

    def add(self, omissions: Iterable[Omission]) -> None:
        """Add omissions, or extend those that are there."""
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
        """The omissions that have not expired, with their time of expiry."""
        now = utc_now().isoformat()
        try:
            rows = json.loads(self._file.read_text())
            return {Omission(*fields): until for *fields, until in rows if until > now}
        except (OSError, ValueError, TypeError):  # no file yet, or a damaged one
            return {}


def _ranges(values: Iterable[int]) -> list[list[int]]:
    """Consecutive values as ranges of first and last. The values are ascending."""
    ranges: list[list[int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    return ranges
