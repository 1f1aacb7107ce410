"""Tags of runs that several parts read: the partitions of a run, and who started it."""

from collections.abc import Mapping

PARTITION, FIRST_PARTITION, LAST_PARTITION = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
"""Dagster's tags for a single partition, and for the ends of a range."""
TRIGGERED_BY = "radar/triggered_by"
"""The name of the user or token that started a run; sensors and schedules leave no such tag."""


def partition_span(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The first and the last partition of a run, which are the same for a single one; None for a run without partitions."""
    single = tags.get(PARTITION)
    first, last = tags.get(FIRST_PARTITION, single), tags.get(LAST_PARTITION, single)
    return (first, last) if first is not None and last is not None else None


def span_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a run over a range of partitions."""
    return {FIRST_PARTITION: first, LAST_PARTITION: last}
