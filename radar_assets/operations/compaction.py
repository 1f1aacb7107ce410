"""Compaction: the small files of each closed hour or day of a table are merged into one.

The rows stay the same, and so do the sequence number and the state of the input that files carry. So nothing becomes stale, no segment
is loaded again, and no build conflicts with it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from radar_assets.lakehouse.commits import Rewrite, discard
from radar_assets.lakehouse.files import STEP, FileRef, NewFile, Origin, PartitionKey, from_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.staleness import unread_files

CLOSED_AFTER = timedelta(hours=2)
"""How long after its end a partition is closed. Most of what belongs to it is loaded and built by then."""
SMALL_BYTES = 32 * 2**20
"""Larger files are left as they are, so that a partition which keeps getting late lines is not rewritten every night."""
MAX_BYTES = 128 * 2**20
"""Maximum size of the files that one statement merges."""
MAX_MANIFESTS = 8
"""Small manifests that a table may have before they are merged."""


@dataclass(frozen=True)
class Compacted:
    """The number of files that were merged, and of those that hold their rows now."""

    merged: int
    into: int


def compact(lakehouse: Lakehouse, name: str, now: datetime, *, dry_run: bool = False) -> Compacted:
    """Merge the small files in closed partitions of a table, and its small manifests.

    A partition that another process replaces meanwhile is left to the next compaction.

    Args:
        now: in UTC.
        dry_run: only count.
    """
    from radar_assets.lakehouse.replacement import is_small

    groups = small_files(lakehouse, lakehouse.snapshot(name), now)
    if dry_run:
        return Compacted(sum(map(len, groups)), len(groups))
    batches = _batches(groups, lakehouse.engine.partitions_a_write)
    done = [rewrite for batch in batches for rewrite in _merge(lakehouse, name, batch)]
    if sum(map(is_small, lakehouse.snapshot(name).manifests())) > MAX_MANIFESTS:
        lakehouse.catalog.rewrite(name, [])
    return Compacted(sum(len(rewrite.sources) for rewrite in done), sum(len(rewrite.files) or 1 for rewrite in done))


def small_files(lakehouse: Lakehouse, table: Snapshot, now: datetime) -> list[list[FileRef]]:
    """The files to merge, in groups: at least two small ones of the same closed partition, in the order of their commits.

    Files that a derived table has not read yet are left out, because their age shows for how long it has been stale.
    """
    calendar = lakehouse.calendar()
    children = [child for child in lakehouse.tables.derived() if child.inputs[0] is table.table]
    unread = {
        ref.path
        for child in children
        for refs in unread_files(table, lakehouse.snapshot(child.name), calendar).values()
        for ref in refs
    }
    unit = table.table.grid
    partitions = defaultdict[PartitionKey, list[FileRef]](list)
    for ref in table.files():
        if ref.size_bytes < SMALL_BYTES and ref.path not in unread:
            partitions[ref.partition].append(ref)
    return [
        group
        for partition, refs in sorted(partitions.items(), key=str)
        if from_unit(partition[0] or 0, unit) + STEP[unit] + CLOSED_AFTER <= now
        # The merged file has one name, and so one origin and one version of the table.
        and len({(ref.origin, ref.version) for ref in refs}) == 1
        for group in _split(sorted(refs, key=lambda ref: ref.sequence_number))
    ]


def _split(refs: Iterable[FileRef]) -> Iterator[list[FileRef]]:
    """Split the files of a partition into groups of a limited size, without groups of one file."""
    groups: list[list[FileRef]] = []
    size_bytes = MAX_BYTES
    for ref in refs:
        size_bytes += ref.size_bytes
        if size_bytes > MAX_BYTES:
            groups.append([])
            size_bytes = ref.size_bytes
        groups[-1].append(ref)
    return (group for group in groups if len(group) > 1)


def _batches(groups: Iterable[list[FileRef]], partitions: int) -> Iterator[list[list[FileRef]]]:
    """Split groups into batches for one statement each: of a number of different partitions, one input state and one version."""
    batch: dict[PartitionKey, list[FileRef]] = {}
    size_bytes, origin = 0, (Origin(), 1)
    for group in groups:
        added = sum(ref.size_bytes for ref in group)
        is_full = len(batch) == partitions or size_bytes + added > MAX_BYTES
        if batch and (is_full or group[0].partition in batch or (group[0].origin, group[0].version) != origin):
            yield list(batch.values())
            batch, size_bytes = {}, 0
        batch[group[0].partition] = group
        size_bytes, origin = size_bytes + added, (group[0].origin, group[0].version)
    if batch:
        yield list(batch.values())


def _merge(lakehouse: Lakehouse, name: str, groups: Sequence[list[FileRef]]) -> list[Rewrite]:
    """Merge the files of each group, in one commit."""
    table = lakehouse.snapshot(name)
    paths = [ref.local_path for group in groups for ref in group if ref.rows]
    model = SqlModel(name, f"select * from {name} order by {', '.join(table.table.key)}")
    written: list[NewFile] = []
    if paths:
        inputs = {name: Files(table.table, paths, table.evolved)}
        folder = lakehouse.catalog.data_folder(table.table)
        merged = groups[0][0]
        declared = replace(table.table, version=merged.version)
        written = lakehouse.engine.write(model, inputs, {}, declared, folder, merged.origin)
    files = defaultdict[PartitionKey, list[NewFile]](list)
    for file in written:
        files[file.partition].append(file)
    rewrites = [_rewrite(group, files[group[0].partition]) for group in groups]
    lost = [rewrite for rewrite in rewrites if _rows(rewrite.sources) != _rows(rewrite.files)]
    if lost or len(written) != sum(len(rewrite.files) for rewrite in rewrites):
        discard(written)
        raise RuntimeError(f"{name}: the merged files have other rows than {lost[:1]}; nothing was changed")
    return lakehouse.catalog.rewrite(name, rewrites)


def _rewrite(group: list[FileRef], files: list[NewFile]) -> Rewrite:
    """The rewrite of a group. Without rows, its last file stays and shows when the partition last changed."""
    return Rewrite(tuple(group if files else group[:-1]), tuple(files))


def _rows(files: Iterable[FileRef | NewFile]) -> int:
    return sum(file.rows for file in files)
