"""A table at one moment: the files of each window, and when each partition last changed."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse import omissions
from radar_assets.lakehouse.files import EPOCH, FileRef, PartitionKey, built_from, unit_range
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

_MANIFESTS_CACHED = 20_000
_manifests: dict[str, list[FileRef]] = {}


class Snapshot:
    """A table at one moment. Later commits don't change it."""

    def __init__(self, table: Table, iceberg: "IcebergTable", snapshot: "IcebergSnapshot | None") -> None:
        self.table = table
        self.iceberg = iceberg
        self._snapshot = snapshot

    @cached_property
    def sequence_number(self) -> int:
        """Sequence number of the last commit; 0 for a table without commits."""
        return (self._snapshot.sequence_number or 0) if self._snapshot else 0

    @property
    def snapshot_id(self) -> int | None:
        """Iceberg's id of the snapshot; None for a table without commits."""
        return self._snapshot.snapshot_id if self._snapshot else None

    @property
    def committed_at(self) -> datetime | None:
        """When the snapshot was committed; None for a table without commits."""
        return committed_at(self._snapshot) if self._snapshot else None

    @property
    def evolved(self) -> bool:
        """Whether the table may have files of an older schema."""
        return len(self.iceberg.metadata.schemas) > 1

    @cached_property
    def omissions(self) -> omissions.Omissions:
        """What is missing from partitions because it could not be computed."""
        return omissions.decode(self.iceberg.properties.get(omissions.PROPERTY, "[]"))

    def manifests(self) -> "list[ManifestFile]":
        """Iceberg's lists of the table's files."""
        return self._snapshot.manifests(self.iceberg.io) if self._snapshot else []

    def files(self, *windows: Window | None, newer_than: int = 0) -> list[FileRef]:
        """The data files of the table.

        Args:
            windows: one per partition field; None selects everything, including rows without a time.
            newer_than: only files that were added after this sequence number.
        """
        ranges = [None if window is None else unit_range(self.table, window, i) for i, window in enumerate(windows)]
        return [
            ref
            for manifest in self.manifests()
            if manifest.sequence_number > newer_than and may_hold(manifest, ranges)
            for ref in self._files_of(manifest)
            if ref.sequence_number > newer_than and _within(ref.partition, ranges)
        ]

    def paths(self, *windows: Window | None) -> list[str]:
        """Local paths of the files that hold rows."""
        return [ref.local_path for ref in self.files(*windows) if ref.rows]

    def changes(self, *windows: Window | None, index: int = 0, newer_than: int = 0) -> dict[int, int]:
        """Sequence number of the last change of each partition, by value of the partition field at `index`."""
        changed: dict[int, int] = {}
        for ref in self.files(*windows, newer_than=newer_than):
            value = ref.partition[index]
            if value is not None:
                changed[value] = max(ref.sequence_number, changed.get(value, 0))
        return changed

    def _files_of(self, manifest: "ManifestFile") -> list[FileRef]:
        """The live files of a manifest. Manifests never change, so each is read once per process."""
        refs = _manifests.get(manifest.manifest_path)
        if refs is None:
            refs = [
                FileRef(
                    path=entry.data_file.file_path,
                    partition=partition_key(entry.data_file.partition),
                    sequence_number=entry.sequence_number or manifest.sequence_number,
                    rows=entry.data_file.record_count,
                    size_bytes=entry.data_file.file_size_in_bytes,
                    built_from=built_from(entry.data_file.file_path),
                )
                for entry in manifest.fetch_manifest_entry(self.iceberg.io, discard_deleted=True)
            ]
            if len(_manifests) >= _MANIFESTS_CACHED:
                _manifests.clear()
            _manifests[manifest.manifest_path] = refs
        return refs


def committed_at(snapshot: "IcebergSnapshot") -> datetime:
    """When a snapshot was committed, to the millisecond."""
    return EPOCH + timedelta(milliseconds=snapshot.timestamp_ms)


def partition_key(partition: Any) -> PartitionKey:
    """A data file's partition as hours or days since 1970."""
    values = (partition[i] for i in range(len(partition)))
    return tuple((value - date(1970, 1, 1)).days if isinstance(value, date) else value for value in values)


def _within(partition: PartitionKey, ranges: Sequence[tuple[int, int] | None]) -> bool:
    return all(
        limits is None or (value is not None and limits[0] <= value < limits[1])
        for value, limits in zip(partition, ranges, strict=False)
    )


def may_hold(manifest: "ManifestFile", ranges: Sequence[tuple[int, int] | None]) -> bool:
    """Whether a manifest may hold files in the ranges, by its summary."""
    for summary, limits in zip(manifest.partitions or (), ranges, strict=False):
        if limits is None:
            continue
        if summary.lower_bound is None or summary.upper_bound is None:
            return False
        low, high = (
            int.from_bytes(bound, "little", signed=True) for bound in (summary.lower_bound, summary.upper_bound)
        )
        if high < limits[0] or low >= limits[1]:
            return False
    return True
