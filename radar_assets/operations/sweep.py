"""The sweep of a table's folder: deletes files that no snapshot reaches, and that none has reached for a grace period.

The grace period protects the files of runs that have not committed yet, and those that queries are still reading.
"""

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.durability import sync_folder
from radar_assets.lakehouse.catalog import NAMESPACE
from radar_assets.lakehouse.files import EPOCH, local_path_of
from radar_assets.lakehouse.history import State, kept_metadata, read_state, states, version_of
from radar_assets.lakehouse.lakehouse import Lakehouse

if TYPE_CHECKING:
    from pyiceberg.io import FileIO

logger = logging.getLogger(__name__)

UNREACHED = "unreached.json"
"""File in a table's folder: which files were found to be unreached, and when first."""
METADATA, HINT = ".metadata.json", "version-hint.text"
KEPT_FOLDERS = {"data", "data/empty", "metadata"}
"""Folders of a table that runs expect to exist."""


class SweepError(Exception):
    """A table can't be swept; the message says why and what to do. Nothing was deleted."""


@dataclass
class Usage:
    """Files on disk."""

    files: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Count a file."""
        self.files += 1
        self.size_bytes += size_bytes


@dataclass
class Swept:
    """What was found in the folder of a table.

    Attributes:
        live: files of the current snapshot.
        kept: files that only earlier snapshots reach.
        unreached: files that no snapshot reaches, but that are within the grace period.
        deleted: files that were deleted, or would be.
        snapshots: the number of snapshots that can be read.
        manifests: the number of manifests of the current snapshot.
    """

    live: Usage = field(default_factory=Usage)
    kept: Usage = field(default_factory=Usage)
    unreached: Usage = field(default_factory=Usage)
    deleted: Usage = field(default_factory=Usage)
    snapshots: int = 0
    manifests: int = 0


@dataclass(frozen=True)
class _File:
    size_bytes: int
    written_at: datetime


@dataclass
class _Reach:
    """What snapshots reach, as paths relative to the table's folder.

    Attributes:
        since: since when all states of the table are among the snapshots.
    """

    live: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    since: datetime = datetime.max
    snapshots: int = 0
    manifests: int = 0


def sweep(lakehouse: Lakehouse, name: str, now: datetime, grace: timedelta, *, dry_run: bool = False) -> Swept:
    """Delete the files of a table that no snapshot reaches. The caller makes sure that no other sweep of the table runs.

    Args:
        now: in UTC.
        dry_run: only find out what there is to delete.

    Raises:
        SweepError: the files in the folder are not those of the table in the catalog.
    """
    check_metadata(lakehouse, name)
    folder = lakehouse.catalog.data_folder(lakehouse.tables[name]).parent
    # Before the snapshots are read: what is committed from now on is written later, or in the current snapshot.
    files, folders = _listed(folder)
    reach = _reached(lakehouse, name, now)
    swept = Swept(snapshots=reach.snapshots, manifests=reach.manifests)
    recovered_at = lakehouse.snapshot(name).recovered_at
    known, unreached, deleted = _read_unreached(folder, recovered_at), dict[str, datetime](), list[str]()
    for path, file in files.items():
        if path in reach.live:
            swept.live.add(file.size_bytes)
        elif path in reach.kept:
            swept.kept.add(file.size_bytes)
        else:
            first_seen = known.get(path, now)
            # No state that has expired reached a file that was written since then. Others may have been reached until now.
            unused_since = file.written_at if file.written_at >= reach.since else max(file.written_at, first_seen)
            if unused_since <= now - grace:
                deleted.append(path)
                swept.deleted.add(file.size_bytes)
            else:
                unreached[path] = first_seen
                swept.unreached.add(file.size_bytes)
    if not dry_run:
        _write_unreached(folder, recovered_at, unreached)
        _delete(folder, deleted)
        _remove_empty(folder, [path for path, changed_at in folders.items() if changed_at <= now - grace])
    return swept


def check_metadata(lakehouse: Lakehouse, name: str) -> None:
    """Check that the metadata in the folder of a table is its own, and not that of one that the catalog has lost.

    Raises:
        SweepError: it isn't.
    """
    folder = lakehouse.catalog.data_folder(lakehouse.tables[name]).parent / "metadata"
    # Before the head is read, which commits move.
    found = [*folder.glob(f"*{METADATA}")]
    head = lakehouse.snapshot(name)
    current = head.iceberg.metadata_location
    history = {state.location.rpartition("/")[2] for state in states(current)}
    # A table without commits was created because the catalog had lost the other, or while the warehouse was not mounted.
    for path in found if head.snapshot_id else ():
        other = None if path.name in history else read_state(str(path))
        # Without a snapshot, it was left by a process that created the table at the same moment as another.
        if other is None or not other.snapshot or other.document["table-uuid"] == str(head.iceberg.metadata.table_uuid):
            continue
        # Otherwise a later recovery has given it up.
        if other.committed_at.isoformat(timespec="milliseconds") > head.recovered_at:
            raise SweepError(
                f"{name}: its folder has metadata of another table, e.g. {path.name}; "
                "find out which table is needed, and move the metadata of the other elsewhere"
            )
    # A commit that failed leaves the next version.
    if max((version_of(path.name) for path in found), default=0) > version_of(current) + 1:
        raise SweepError(
            f"{name}: its folder has newer metadata than the catalog; run radar doctor --repair to open it, "
            "or move it away if the table was started over"
        )


def _listed(folder: Path) -> tuple[dict[str, _File], dict[str, datetime]]:
    """The files of a table, and when its folders last changed, by path relative to the folder of the table."""
    files: dict[str, _File] = {}
    folders: dict[str, datetime] = {}
    waiting = ["data", "metadata"]
    while waiting:
        parent = waiting.pop()
        with suppress(FileNotFoundError), os.scandir(folder / parent) as entries:
            folders[parent] = _moment((folder / parent).stat().st_mtime)
            for entry in entries:
                path = f"{parent}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.name != HINT:
                    with suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        files[path] = _File(found.st_size, _moment(found.st_mtime))
    return files, folders


def _moment(timestamp: float) -> datetime:
    return EPOCH + timedelta(seconds=timestamp)


def _reached(lakehouse: Lakehouse, name: str, now: datetime) -> _Reach:
    """What the snapshots of the current metadata and of kept metadata reach."""
    head = lakehouse.snapshot(name)
    current = head.iceberg.metadata.current_snapshot()
    reach = _Reach(manifests=len(head.manifests()))
    reach.live.add(_relative(head.iceberg.metadata_location, name))
    snapshots = {
        (one.manifest_list, one.sequence_number or 0, one.timestamp_ms) for one in head.iceberg.metadata.snapshots
    }
    for location in kept_metadata(lakehouse, lakehouse.tables[name], now)[1:]:
        reach.kept.add(_relative(location, name))
        # Earlier metadata is kept for the snapshot that was current. It may be damaged, or expire meanwhile.
        state = State(location, now).document
        for one in state.get("snapshots") or []:
            if one["snapshot-id"] == state["current-snapshot-id"]:
                snapshots.add((one["manifest-list"], one["sequence-number"], one["timestamp-ms"]))
    complete: dict[int, datetime] = {}
    # The current snapshot first, since others share most of its manifests.
    for manifest_list, number, committed_ms in sorted(snapshots, key=lambda one: -one[1]):
        is_current = current is not None and manifest_list == current.manifest_list
        try:
            _add(reach, manifest_list, name, head.iceberg.io, is_current=is_current)
            complete[number] = EPOCH + timedelta(milliseconds=committed_ms)
        except FileNotFoundError as error:
            if is_current:
                raise
            logger.warning("Table %s: an earlier snapshot can't be read any more: %s", name, error)
    reach.snapshots = len(complete)
    reach.since = _covered_since(complete)
    return reach


def _add(reach: _Reach, manifest_list: str, name: str, io: "FileIO", *, is_current: bool) -> None:
    """Add what a snapshot reaches.

    Raises:
        FileNotFoundError: part of the snapshot is missing.
    """
    from pyiceberg.manifest import read_manifest_list

    paths = reach.live if is_current else reach.kept
    paths.add(_relative(manifest_list, name))
    for manifest in read_manifest_list(io.new_input(manifest_list)):
        path = _relative(manifest.manifest_path, name)
        if path not in reach.live and path not in paths:
            entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
            paths.update(_relative(entry.data_file.file_path, name) for entry in entries)
            paths.add(path)


def _covered_since(complete: dict[int, datetime]) -> datetime:
    """When the first of the latest consecutive snapshots was committed. With the first of the table, there was nothing before."""
    number = max(complete, default=0)
    since = datetime.max
    while number in complete:
        since = complete[number]
        number -= 1
    return datetime.min if number == 0 else since


def _relative(location: str, name: str) -> str:
    """A path relative to the folder of a table, which may have been moved or be linked since."""
    _, found, path = local_path_of(location).rpartition(f"/{NAMESPACE}/{name}/")
    if not found:
        raise SweepError(f"{name}: {location} is outside the folder of the table; it can't be swept")
    return path


def _read_unreached(folder: Path, recovered_at: str) -> dict[str, datetime]:
    """The unreached files of the last sweep, and when each was first seen. A recovery may have reached them since."""
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((folder / UNREACHED).read_text())
        if found["recovered_at"] == recovered_at:
            return {path: datetime.fromisoformat(at) for path, at in found["files"].items()}
    return {}


def _write_unreached(folder: Path, recovered_at: str, unreached: dict[str, datetime]) -> None:
    fresh = folder / f".{UNREACHED}"
    files = {path: at.isoformat() for path, at in unreached.items()}
    fresh.write_text(json.dumps({"recovered_at": recovered_at, "files": files}))
    fresh.replace(folder / UNREACHED)


def _delete(folder: Path, paths: Iterable[str]) -> None:
    """Delete metadata before what it refers to, so that all metadata on disk stays complete if this is interrupted."""
    stages: list[list[str]] = [[], [], [], []]
    for path in paths:
        stages[_stage(path)].append(path)
    for stage in stages:
        for path in stage:
            (folder / path).unlink(missing_ok=True)
        if stage and stage[0].startswith("metadata/"):
            sync_folder(folder / "metadata")


def _stage(path: str) -> int:
    """When to delete a file: metadata, manifest lists, manifests, data."""
    if not path.startswith("metadata/"):
        return 3
    return 0 if path.endswith(METADATA) else 1 if path.startswith("metadata/snap-") else 2


def _remove_empty(folder: Path, folders: Iterable[str]) -> None:
    """Remove folders that are empty, the inner ones first."""
    for path in sorted(folders, reverse=True):
        if path not in KEPT_FOLDERS:
            with suppress(OSError):
                (folder / path).rmdir()
