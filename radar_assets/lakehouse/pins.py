"""Pins: snapshots of tables with a name, which don't expire. They are Iceberg tags, so any Iceberg reader can read them.

A pinned snapshot is in the current metadata of its table, where commits and recoveries leave it alone.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from radar_assets.errors import UsageError
from radar_assets.lakehouse.history import SnapshotExpiredError, expirable, to_moment
from radar_assets.lakehouse.snapshot import committed_at, is_sound, list_files
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata, TableMetadataV2
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.lakehouse.table import Table

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.IGNORECASE)
_SPAN = re.compile(r"\d+[mhd]")


class PinError(UsageError):
    """A name is invalid or in use, or there is nothing to pin; the message says which."""


@dataclass(frozen=True)
class Pin:
    """A named snapshot of a table.

    Attributes:
        committed_at: when the snapshot was committed, in UTC.
        rows: rows of the whole table.
        expires_at: when the pin expires, in UTC; None if it doesn't.
    """

    name: str
    table: str
    snapshot_id: int
    committed_at: datetime
    rows: int
    expires_at: datetime | None


def pin(
    lakehouse: "Lakehouse",
    name: str,
    tables: Collection[str],
    as_of: datetime | str | None = None,
    expires_at: datetime | None = None,
) -> list[Pin]:
    """Pin tables as they stood at one moment. Either all tables get the pin or none does.

    Args:
        name: letters, digits, `.`, `_` and `-`, at most 100.
        tables: names of the tables. Those that were empty then are left out.
        as_of: a time in UTC or the name of another pin. Default: now.
        expires_at: when `expire_history` removes the pin, in UTC. Default: never.

    Raises:
        PinError: the name is invalid or in use, the pin would expire in the past, or all tables were empty.
        SnapshotExpiredError: the history of a table does not reach back to that moment, or files of that snapshot are gone.
        UnknownPinError: a table doesn't have the other pin.
    """
    if not _NAME.fullmatch(name) or name == "main" or _SPAN.fullmatch(name) or to_moment(name) != name:
        raise PinError(
            f"invalid name {name!r}; use letters, digits, '.', '_' and '-', and not only a time, e.g. before-fix"
        )
    if expires_at and expires_at <= utc_now():
        raise PinError(f"the pin would expire in the past ({expires_at.isoformat(timespec='seconds')} UTC)")
    chosen: dict[str, IcebergSnapshot] = {}
    as_of = utc_now() if as_of is None else as_of
    for table in tables:
        current = lakehouse.snapshot(table)
        if name in current.iceberg.metadata.refs:
            raise PinError(
                f"{table} has a pin {name!r} already; choose another name, or remove it with radar snapshots unpin"
            )
        if current.snapshot_id is None:
            continue
        past = lakehouse.catalog.snapshot(table, as_of)
        chosen[table] = _snapshot(past.iceberg.metadata, past.snapshot_id)
    if not chosen:
        raise PinError(f"nothing to pin: {', '.join(tables)} had no rows yet")
    done: list[str] = []
    try:
        for table, snapshot in chosen.items():
            lakehouse.catalog.amend(table, partial(_tagged, name=name, snapshot=snapshot, expires_at=expires_at))
            done.append(table)
            _check_files(lakehouse, table, snapshot)
    except BaseException:
        unpin(lakehouse, name, done)
        raise
    return [one for one in list_pins(lakehouse, done) if one.name == name]


def unpin(lakehouse: "Lakehouse", name: str, tables: Collection[str]) -> list[str]:
    """Remove a pin from tables. Returns the tables that had it."""
    had = [table for table in tables if name in _pins(lakehouse.snapshot(table).iceberg.metadata)]
    for table in had:
        lakehouse.catalog.amend(table, partial(_untagged, names=[name]))
    return had


def unpin_expired(lakehouse: "Lakehouse", table: "Table", now: datetime) -> None:
    """Remove the pins of a table that have expired by a time in UTC."""
    expired = [one.name for one in list_pins(lakehouse, [table.name]) if one.expires_at and one.expires_at <= now]
    if expired:
        lakehouse.catalog.amend(table.name, partial(_untagged, names=expired))


def list_pins(lakehouse: "Lakehouse", tables: Iterable[str]) -> list[Pin]:
    """The pins of some tables, by name and table."""
    found: list[Pin] = []
    for table in tables:
        metadata = lakehouse.snapshot(table).iceberg.metadata
        for name, number in _pins(metadata).items():
            snapshot = _snapshot(metadata, number)
            at, age_ms = committed_at(snapshot), metadata.refs[name].max_ref_age_ms
            rows = int((snapshot.summary or {}).get("total-records", 0) or 0)
            expires_at = at + timedelta(milliseconds=age_ms) if age_ms else None
            found.append(Pin(name, table, number, at, rows, expires_at))
    return sorted(found, key=lambda one: (one.name, one.table))


def _pins(metadata: "TableMetadata") -> dict[str, int]:
    return {name: ref.snapshot_id for name, ref in metadata.refs.items() if ref.snapshot_ref_type == "tag"}


def _snapshot(metadata: "TableMetadata", number: int | None) -> "IcebergSnapshot":
    return next(one for one in metadata.snapshots if one.snapshot_id == number)


def _check_files(lakehouse: "Lakehouse", table: str, snapshot: "IcebergSnapshot") -> None:
    """Check that all files of a pinned snapshot exist. It may have expired before it was pinned.

    Raises:
        SnapshotExpiredError: they don't.
    """
    from pyiceberg.manifest import read_manifest_list

    io = lakehouse.snapshot(table).iceberg.io
    try:
        # Without the caches for manifests, which outlive their files.
        manifests = read_manifest_list(io.new_input(snapshot.manifest_list))
        is_complete = all(is_sound(ref) for manifest in manifests for ref in list_files(manifest, io))
    except FileNotFoundError:
        is_complete = False
    if not is_complete:
        at = committed_at(snapshot).isoformat(timespec="milliseconds")
        raise SnapshotExpiredError(f"files of {table} as of {at} UTC are missing or damaged; choose a later time")


def _tagged(
    metadata: "TableMetadataV2", name: str, snapshot: "IcebergSnapshot", expires_at: datetime | None
) -> "TableMetadataV2":
    """Metadata with a tag on a snapshot, which may be one that has left the metadata."""
    from pyiceberg.table.refs import SnapshotRef

    if name in metadata.refs:
        raise PinError(f"{name!r} was pinned meanwhile; choose another name")
    # Iceberg counts the age of a tag from the commit of its snapshot.
    age_ms = int((expires_at - committed_at(snapshot)) / timedelta(milliseconds=1)) if expires_at else None
    ref = SnapshotRef(**{"snapshot-id": snapshot.snapshot_id, "type": "tag", "max-ref-age-ms": age_ms})
    others = [one for one in metadata.snapshots if one.snapshot_id != snapshot.snapshot_id]
    snapshots = sorted([*others, snapshot], key=lambda one: one.sequence_number or 0)
    return metadata.model_copy(update={"refs": {**metadata.refs, name: ref}, "snapshots": snapshots})


def _untagged(metadata: "TableMetadataV2", names: Collection[str]) -> "TableMetadataV2":
    """Metadata without some tags, and without the snapshots that only they kept."""
    refs = {name: ref for name, ref in metadata.refs.items() if name not in names}
    left = metadata.model_copy(update={"refs": refs})
    gone = {*expirable(left)}
    return left.model_copy(
        update={
            "snapshots": [one for one in left.snapshots if one.snapshot_id not in gone],
            "snapshot_log": [entry for entry in left.snapshot_log if entry.snapshot_id not in gone],
        }
    )
