"""A table at one moment: the files of each window, and when each partition last changed."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse import omissions, recoveries
from radar_assets.lakehouse.files import EPOCH, FileRef, PartitionKey, origin_of, unit_range
from radar_assets.lakehouse.recoveries import DamagedFilesError, Recovery
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

CACHED_S = 3600
"""Manifests that were not used for so long are forgotten. Each file takes a kilobyte of memory."""
_manifests: dict[str, tuple[float, list[FileRef]]] = {}
"""The manifests that this process has read, and when it last used them, in that order."""
_lock = Lock()


class Snapshot:
    """A table at one moment. Later commits don't change it.

    Args:
        drop_damaged: drops damaged files from the table, so that their partitions are built again; None for a state of the past.
    """

    def __init__(
        self,
        table: Table,
        iceberg: "IcebergTable",
        snapshot: "IcebergSnapshot | None",
        drop_damaged: Callable[[], object] | None,
    ) -> None:
        self.table = table
        self.iceberg = iceberg
        self._snapshot = snapshot
        self._drop_damaged = drop_damaged

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
        """Whether the table may have files of another schema than its declaration."""
        schemas = self.iceberg.metadata.schemas
        return len(schemas) > 1 or len(schemas[0].fields) < len(self.table.columns)

    @cached_property
    def omissions(self) -> omissions.Omissions:
        """What is missing from partitions because it could not be computed."""
        return omissions.decode(self.iceberg.properties.get(omissions.PROPERTY, "[]"))

    @cached_property
    def recoveries(self) -> tuple[Recovery, ...]:
        """The recoveries of the table."""
        return recoveries.decode(self.iceberg.properties.get(recoveries.PROPERTY, "[]"))

    @property
    def recovered_at(self) -> str:
        """Identifies the last recovery. Cursors and run keys that were made before it are void."""
        return self.recoveries[-1].at if self.recoveries else ""

    def is_lost(self, sequence_number: int) -> bool:
        """Whether a recovery lost the commit of this sequence number."""
        return any(recovery.first <= sequence_number <= recovery.last for recovery in self.recoveries)

    def manifests(self) -> "list[ManifestFile]":
        """Iceberg's lists of the table's files."""
        return self._snapshot.manifests(self.iceberg.io) if self._snapshot else []

    def files(self, *windows: Window | None, newer_than: int = 0) -> list[FileRef]:
        """The data files of the table.

        Args:
            windows: one per partition field; None selects everything, including rows without a time.
            newer_than: only files that were added after this sequence number.

        Raises:
            DamagedFilesError: a file is missing or truncated. The current state of the table has dropped it by then.
        """
        ranges = [None if window is None else unit_range(self.table, window, i) for i, window in enumerate(windows)]
        return [
            ref
            for manifest in self.manifests()
            if manifest.sequence_number > newer_than and has_files(manifest) and may_hold(manifest, ranges)
            for ref in self._read(manifest)
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

    def _read(self, manifest: "ManifestFile") -> list[FileRef]:
        try:
            return read_manifest(manifest, self.iceberg.io)
        except DamagedFilesError as error:
            if self._drop_damaged is None:
                raise DamagedFilesError(f"table {self.table.name} as of {self.committed_at} UTC: {error}") from error
            self._drop_damaged()
            raise DamagedFilesError(f"table {self.table.name}: {error}; their partitions are built again") from error


def read_manifest(manifest: "ManifestFile", io: "FileIO") -> list[FileRef]:
    """The live files of a manifest. Manifests and data files never change, so each is read or checked once per process.

    Raises:
        DamagedFilesError: a data file is missing or truncated.
    """
    path, now = manifest.manifest_path, monotonic()
    with _lock:
        _, refs = _manifests.get(path, (now, None))
    if refs is None:
        refs = list_files(manifest, io)
        if damaged := [ref for ref in refs if not is_sound(ref)]:
            name = damaged[0].path.rpartition("/")[2]
            raise DamagedFilesError(f"{len(damaged)} data files are missing or truncated, e.g. {name}")
    with _lock:
        _manifests.pop(path, None)
        _manifests[path] = now, refs
        while _manifests[oldest := next(iter(_manifests))][0] < now - CACHED_S:
            del _manifests[oldest]
    return refs


def has_files(manifest: "ManifestFile") -> bool:
    """Whether a manifest has live files. Some only list what was deleted."""
    return manifest.has_added_files() or manifest.has_existing_files()


def list_files(manifest: "ManifestFile", io: "FileIO") -> list[FileRef]:
    """The live files of a manifest, damaged or not."""
    refs: list[FileRef] = []
    for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
        origin, version = origin_of(entry.data_file.file_path)
        refs.append(
            FileRef(
                path=entry.data_file.file_path,
                partition=partition_key(entry.data_file.partition),
                sequence_number=entry.sequence_number or manifest.sequence_number,
                rows=entry.data_file.record_count,
                size_bytes=entry.data_file.file_size_in_bytes,
                origin=origin,
                version=version,
            )
        )
    return refs


def is_sound(ref: FileRef) -> bool:
    """Whether a data file exists and has its size."""
    try:
        return Path(ref.local_path).stat().st_size == ref.size_bytes
    except FileNotFoundError:
        return False


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
