"""What partitions of a table lack because it could not be computed, kept with the table: a level, like staleness.

It is a property of the Iceberg table, written by the commit that replaces the partitions.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass

PROPERTY = "radar.omissions"


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


Omissions = Mapping[int, frozenset[Omission]]
"""What partitions lack, by hour or day since 1970; partitions that lack nothing are not in it."""


def merge(before: Omissions, replaced: Collection[int], found: Omissions) -> Omissions:
    """What partitions of a table lack once some of them have been replaced."""
    return {**{value: omissions for value, omissions in before.items() if value not in replaced}, **found}


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


def _ranges(values: Iterable[int]) -> list[list[int]]:
    """First and last of the stretches that ascending values form."""
    ranges: list[list[int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1][1] = value
        else:
            ranges.append([value, value])
    return ranges
