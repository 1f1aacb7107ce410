"""Replaces files in one pass over the manifests, on top of pyiceberg's snapshot producer and transaction.

Pyiceberg's own overwrite reads the manifests twice and keeps every manifest of deleted files forever, so rebuilding a partition often
makes each further commit to the table slower. Here manifests stay few, and small enough to be rewritten quickly.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import TableUpdate
from pyiceberg.table.update.snapshot import _SnapshotProducer  # pyright: ignore[reportPrivateUsage]
from pyiceberg.typedef import EMPTY_DICT

from radar_assets.lakehouse.commits import Rewrite
from radar_assets.lakehouse.files import FileRef, PartitionKey, local_path_of
from radar_assets.lakehouse.snapshot import Snapshot, has_files, may_hold, partition_key

MAX_ENTRIES = 128
"""Maximum files in a rewritten manifest. A commit rewrites the manifests of the files that it drops."""
SMALL_ENTRIES = MAX_ENTRIES // 4
MAX_SMALL = 64
"""Maximum manifests with fewer than `SMALL_ENTRIES` files before they are merged. Each commit adds one."""


class ReplaceTransaction(Transaction):
    """A transaction that computes its metadata once per update. Pyiceberg makes a deep copy at each of about twenty accesses."""

    _seen: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        if not self._seen or self._seen[0] is not self._table.metadata or self._seen[1] is not self._updates:
            self._seen = self._table.metadata, self._updates, super().table_metadata
        return self._seen[2]


class ReplaceFiles(_SnapshotProducer["ReplaceFiles"]):
    """Drops files of a snapshot and adds others, in one snapshot.

    Args:
        rewrites: what the added files are rewritten from, if the rows stay the same. Their sources are dropped, they keep the sequence
            numbers of the sources, and all small manifests are merged.
    """

    def __init__(
        self,
        transaction: Transaction,
        head: Snapshot,
        dropped: list[FileRef],
        added: list[DataFile],
        rewrites: Sequence[Rewrite] | None = None,
    ) -> None:
        dropped = [*dropped, *(ref for rewrite in rewrites or () for ref in rewrite.sources)]
        super().__init__(
            operation=Operation.OVERWRITE if dropped else Operation.APPEND, transaction=transaction, io=head.iceberg.io
        )
        self._head = head
        self._numbers = {
            f"file://{file.path}": rewrite.sequence_number for rewrite in rewrites or () for file in rewrite.files
        }
        self._rewritten_files = added if rewrites is not None else []
        self._is_rewrite = rewrites is not None
        self._dropped = {ref.path for ref in dropped}
        self._ranges = _ranges([ref.partition for ref in dropped])
        for data_file in [] if self._is_rewrite else added:
            self.append_data_file(data_file)
        for entry in self._deleted_entries():
            self.delete_data_file(entry.data_file)

    @property
    def written(self) -> list[Path]:
        """The manifests and manifest lists that were written."""
        return [Path(local_path_of(path)) for path in (*self._written_manifests, *self._written_manifest_lists)]

    @cached_property
    def _plan(self) -> tuple[list[ManifestFile], list[ManifestEntry]]:
        """The manifests to keep, including rewritten ones, and the entries of the dropped files."""
        kept: list[ManifestFile] = []
        deleted: list[ManifestEntry] = []
        for manifest in self._head.manifests():
            if not has_files(manifest):
                continue
            if not self._dropped or not may_hold(manifest, self._ranges):
                kept.append(manifest)
                continue
            entries = manifest.fetch_manifest_entry(self._io, discard_deleted=True)
            staying = [entry for entry in entries if entry.data_file.file_path not in self._dropped]
            if len(staying) == len(entries):
                kept.append(manifest)
                continue
            deleted += [
                self._with_status(entry, ManifestEntryStatus.DELETED)
                for entry in entries
                if entry.data_file.file_path in self._dropped
            ]
            kept += self._rewritten(staying, manifest.partition_spec_id)
        return [*self._merged(kept), *self._with_sequence_numbers()], deleted

    def _merged(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        """The manifests, with small ones merged if there are many."""
        small = [manifest for manifest in manifests if is_small(manifest)]
        if (
            len(small) <= (1 if self._is_rewrite else MAX_SMALL)
            or len({manifest.partition_spec_id for manifest in small}) > 1
        ):
            return manifests
        paths = {manifest.manifest_path for manifest in small}
        entries = [
            entry for manifest in small for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=True)
        ]
        others = [manifest for manifest in manifests if manifest.manifest_path not in paths]
        return others + self._rewritten(entries, small[0].partition_spec_id)

    def _rewritten(self, entries: list[ManifestEntry], spec_id: int) -> list[ManifestFile]:
        """Write manifests of the remaining entries, ordered by partition."""
        existing = [self._with_status(entry, ManifestEntryStatus.EXISTING) for entry in entries]
        return self._write(existing, spec_id)

    def _with_sequence_numbers(self) -> list[ManifestFile]:
        """Write manifests of rewritten files. Pyiceberg would give them the sequence number of the commit."""
        entries = [
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=self._snapshot_id,
                sequence_number=self._numbers[data_file.file_path],
                file_sequence_number=None,
                data_file=data_file,
            )
            for data_file in self._rewritten_files
        ]
        return self._write(entries, self._head.iceberg.metadata.default_spec_id)

    def _write(self, entries: list[ManifestEntry], spec_id: int) -> list[ManifestFile]:
        ordered = sorted(entries, key=lambda entry: str(partition_key(entry.data_file.partition)))
        written = []
        for start in range(0, len(ordered), MAX_ENTRIES):
            with self.new_manifest_writer(self.spec(spec_id)) as writer:
                for entry in ordered[start : start + MAX_ENTRIES]:
                    writer.add_entry(entry)
            written.append(writer.to_manifest_file())
        return written

    def _with_status(self, entry: ManifestEntry, status: ManifestEntryStatus) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=self._snapshot_id if status == ManifestEntryStatus.DELETED else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )

    def _existing_manifests(self) -> list[ManifestFile]:
        return self._plan[0]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return self._plan[1]

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        """Count rewritten files, which have been written already, as added."""
        self._added_data_files += self._rewritten_files
        summary = super()._summary(snapshot_properties)
        return Summary(Operation.REPLACE, **summary.additional_properties) if self._is_rewrite else summary

    def _build_delete_files_partition_predicate(self) -> None:
        """Do nothing: the partitions of the dropped files show which manifests to read."""


def is_small(manifest: ManifestFile) -> bool:
    """Whether a manifest has few files."""
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0) < SMALL_ENTRIES


def _ranges(partitions: list[PartitionKey]) -> list[tuple[int, int] | None]:
    """The range of values of each partition field, half-open; None if some rows have no value."""
    ranges: list[tuple[int, int] | None] = []
    for values in zip(*partitions, strict=True):
        known: list[Any] = [value for value in values if value is not None]
        ranges.append((min(known), max(known) + 1) if len(known) == len(values) else None)
    return ranges
