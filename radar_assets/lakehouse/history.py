"""The history of a table: which of its states are kept, and which one was current at a moment.

Each commit writes a metadata file that names the ones before it, so these files are the history and its index. Commits do nothing for
it, and the current metadata stays small; `expire_history` deletes what the settings no longer keep.
"""

import json
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radar_assets.errors import UsageError
from radar_assets.lakehouse.files import EPOCH, local_path_of
from radar_assets.windows import to_utc

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.settings import HistorySettings
    from radar_assets.lakehouse.table import Table

METADATA_KEPT = 20
"""Earlier metadata files that the current one names. They are kept whatever their age: a table can fall back by this many commits."""
SNAPSHOTS_KEPT = 10
SNAPSHOTS_TOLERATED = 20
"""Snapshots leave the current metadata in batches. Pyiceberg copies it about twenty times per commit, so a long list of them would
cost more than the commit itself."""
DELETES_METADATA = "write.metadata.delete-after-commit.enabled"
"""Property of tables whose commits delete old metadata files, as those of earlier versions of Radar did."""
_METADATA = re.compile(r"(\d+)-.*\.metadata\.json")


class SnapshotExpiredError(LookupError):
    """The history of a table does not reach back far enough; the message names the oldest time available."""


class UnknownPinError(UsageError):
    """A table has no pin of this name."""


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot that can be read.

    Attributes:
        committed_at: UTC, to the millisecond.
        rows: rows of the whole table.
    """

    snapshot_id: int
    sequence_number: int
    committed_at: datetime
    rows: int


@dataclass(frozen=True)
class State:
    """A metadata file of a table, and when it was committed."""

    location: str
    committed_at: datetime

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content of the file, without the validation that makes pyiceberg slow; empty if it is missing or damaged."""
        try:
            return json.loads(Path(local_path_of(self.location)).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    @property
    def snapshot(self) -> KeptSnapshot | None:
        """The snapshot that was current; None if the table had no commits, or the file is missing or damaged."""
        current = self.document.get("current-snapshot-id")
        for found in self.document.get("snapshots", ()):
            if found["snapshot-id"] == current:
                rows = int(found["summary"].get("total-records", 0))
                return KeptSnapshot(
                    found["snapshot-id"], found["sequence-number"], _moment(found["timestamp-ms"]), rows
                )
        return None


def version_of(location: str | None) -> int:
    """The version in the name of a metadata file, or -1."""
    match = _METADATA.fullmatch((location or "").rpartition("/")[2])
    return int(match[1]) if match else -1


def to_moment(given: datetime | str) -> datetime | str:
    """A time in UTC, or the name of a pin. Text is a time if it is one in ISO 8601."""
    try:
        return to_utc(given)
    except ValueError:
        return str(given)


def states(location: str) -> Iterator[State]:
    """The states of a table from one on, the newest first.

    Metadata that was written but not committed, or that a recovery gave up, is left out: no later metadata names it. Where the named
    files have expired, the next older file is taken, since expiry removes the others first.

    Args:
        location: metadata to start from.
    """
    files = _metadata_files(location)
    versions = {name: version for version, name in files}
    folder = location.rpartition("/")[0]
    state = read_state(location)
    if state:
        yield state
    while state:
        reached = state
        for entry in reversed(state.document.get("metadata-log", ())):
            name = entry["metadata-file"].rpartition("/")[2]
            if versions.get(name, -1) in range(version_of(reached.location)):
                reached = State(entry["metadata-file"], _moment(entry["timestamp-ms"]))
                yield reached
        if reached is state:
            if state.document.get("properties", {}).get(DELETES_METADATA) == "true":
                return
            end = bisect_left(files, (version_of(state.location), ""))
            reached = next(filter(None, (read_state(f"{folder}/{name}") for _, name in reversed(files[:end]))), None)
            if reached:
                yield reached
        state = reached


def find(name: str, current: "IcebergTable", as_of: datetime | str) -> "State | IcebergSnapshot":
    """The newest state that was committed at or before a time in UTC, or the snapshot of a pin.

    Args:
        name: name of the table, for messages.
        current: the table as it stands now.

    Raises:
        SnapshotExpiredError: there is no state as old as this.
        UnknownPinError: the table has no pin of this name.
    """
    moment = to_moment(as_of)
    if isinstance(moment, str):
        ref = current.metadata.refs.get(moment)
        snapshot = current.metadata.snapshot_by_id(ref.snapshot_id) if ref and moment != "main" else None
        if snapshot is None:
            raise UnknownPinError(
                f"{name} has no pin {moment!r}; radar snapshots list shows the pins, and times are like 2026-11-02T09:00"
            )
        return snapshot
    newer: list[State] = []
    for state in states(current.metadata_location):
        if state.committed_at <= moment and state.snapshot:
            return state
        newer.append(state)
    oldest = next((state.snapshot for state in reversed(newer) if state.snapshot), None)
    if oldest is None:
        raise SnapshotExpiredError(f"{name} is empty and has no history yet; leave out as_of")
    raise SnapshotExpiredError(
        f"{name} has no snapshot as old as {moment.isoformat()} UTC; "
        f"the oldest available is of {oldest.committed_at.isoformat(timespec='milliseconds')} UTC"
    )


def find_numbered(name: str, current: "IcebergTable", sequence_number: int) -> "State | IcebergSnapshot":
    """The snapshot of a commit. If it has expired, the last one before it in the history, else the first pinned one after it.

    Arguments and errors as for `find`.
    """
    snapshots = sorted(current.metadata.snapshots, key=lambda one: one.sequence_number or 0)
    later = next((one for one in snapshots if (one.sequence_number or 0) >= sequence_number), None)
    if later and later.sequence_number == sequence_number:
        return later
    found = [*states(current.metadata_location)]
    place = bisect_left(found, -sequence_number, key=lambda state: -state.document.get("last-sequence-number", 0))
    if state := next((state for state in found[place:] if state.snapshot), None):
        return state
    if later and later.snapshot_id not in unpinned(current.metadata):
        return later
    raise SnapshotExpiredError(f"the history of {name} does not reach back to its commit {sequence_number}")


def kept_snapshots(location: str) -> Iterator[KeptSnapshot]:
    """The snapshots in a table's history, the newest first. `location` is the table's current metadata."""
    last: KeptSnapshot | None = None
    for state in states(location):
        snapshot = state.snapshot
        if snapshot and (last is None or snapshot.snapshot_id != last.snapshot_id):
            yield snapshot
            last = snapshot


def kept_metadata(lakehouse: "Lakehouse", table: "Table", now: datetime) -> list[str]:
    """Locations of a table's metadata that is kept, the newest first, beginning with the current one.

    Each is kept for its current snapshot, besides which the current metadata has pinned ones. A file may turn out to be damaged, or
    expire meanwhile; it keeps nothing then.

    Args:
        now: UTC.
    """
    head = lakehouse.snapshot(table.name).iceberg.metadata_location
    return [state.location for state in _kept(states(head), now, lakehouse.settings)]


def expire_history(lakehouse: "Lakehouse", table: "Table", now: datetime) -> list[Path]:
    """Remove pins that have expired, and the metadata files that the settings no longer keep.

    It can be interrupted at any time, and other processes may commit meanwhile.

    Args:
        now: UTC.

    Returns:
        The files that were deleted.
    """
    from radar_assets.lakehouse.pins import unpin_expired

    unpin_expired(lakehouse, table, now)
    expired = expired_metadata(lakehouse, table, now)
    for path in expired:
        path.unlink(missing_ok=True)
    return expired


def expired_metadata(lakehouse: "Lakehouse", table: "Table", now: datetime) -> list[Path]:
    """The metadata files that `expire_history` would delete, in its order.

    Newer files than those that the current metadata names are left alone: a commit that is under way may have written them.
    """
    head = lakehouse.snapshot(table.name).iceberg.metadata_location
    found = [*states(head)]
    kept = {_name(state) for state in _kept(found, now, lakehouse.settings)}
    floor = version_of(found[: METADATA_KEPT + 1][-1].location)
    folder = Path(local_path_of(head)).parent
    # By name, since the folder may have been moved or be linked since.
    history = {_name(state) for state in found}
    old = [name for version, name in _metadata_files(head) if version < floor]
    # What is not history goes first. `states` could take it for history once the files that don't name it are gone.
    uncommitted = [name for name in old if name not in history]
    expired = [name for name in old if name in history - kept]
    return [folder / name for name in chain(uncommitted, expired)]


def expirable(metadata: "TableMetadata") -> list[int]:
    """Ids of the snapshots that leave the current metadata once there are too many: all but the newest and the pinned ones."""
    return unpinned(metadata)[:-SNAPSHOTS_KEPT]


def unpinned(metadata: "TableMetadata") -> list[int]:
    """Ids of the snapshots in the current metadata without a tag or branch of their own, the oldest first."""
    pinned = {ref.snapshot_id for name, ref in metadata.refs.items() if name != "main"}
    ordered = sorted(metadata.snapshots, key=lambda one: one.sequence_number or 0)
    return [one.snapshot_id for one in ordered if one.snapshot_id not in pinned]


def _kept(found: Iterable[State], now: datetime, settings: "HistorySettings") -> list[State]:
    """The states that the settings keep: all that were current in the last hours, and for some days the last one of each hour."""
    all_since, hourly_since = now - timedelta(hours=settings.history_hours), now - timedelta(days=settings.history_days)
    ordered = iter(found)
    kept = [*islice(ordered, METADATA_KEPT + 1)]
    until = kept[-1].committed_at
    for state in ordered:
        if until > all_since or (until > hourly_since and _hour(state.committed_at) != _hour(until)):
            kept.append(state)
        until = state.committed_at
    return kept


def _name(state: State) -> str:
    return state.location.rpartition("/")[2]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _metadata_files(location: str) -> Sequence[tuple[int, str]]:
    """Version and name of the metadata files beside one, the oldest first."""
    with os.scandir(Path(local_path_of(location)).parent) as entries:
        return sorted((version, entry.name) for entry in entries if (version := version_of(entry.name)) >= 0)


def read_state(location: str) -> State | None:
    """The state of a metadata file; None if the file can't be read."""
    updated_ms = State(location, EPOCH).document.get("last-updated-ms")
    return None if updated_ms is None else State(location, _moment(updated_ms))


def _moment(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
