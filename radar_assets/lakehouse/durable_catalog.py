"""The SQL catalog of pyiceberg, made durable: where metadata is written, and where the head of a table is opened.

Metadata is on disk before the catalog points at it. A head whose files are damaged, or that is older than the table's files because an
old backup of the database was restored, is replaced by the newest sound metadata.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, NoSuchTableError
from pyiceberg.io import FSSPEC_FILE_IO, PY_IO_IMPL, FileIO
from pyiceberg.table import CommitTableResponse, StagedTable, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata, TableMetadataV2
from pyiceberg.table.snapshots import MetadataLogEntry
from pyiceberg.table.update import RemoveSnapshotsUpdate, TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier
from sqlalchemy import ColumnElement, event, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from radar_assets.durability import sync_files
from radar_assets.lakehouse.files import local_path_of
from radar_assets.lakehouse.history import METADATA_KEPT, read_state, version_of
from radar_assets.lakehouse.recoveries import (
    PROPERTY,
    DamagedFilesError,
    DamagedTableError,
    Recovery,
    damage_of,
    decode,
    encode,
    now_text,
)
from radar_assets.lakehouse.snapshot import has_files, read_manifest

logger = logging.getLogger(__name__)

HINT = "version-hint.text"
"""File in the metadata folder with the name of the latest metadata, as file-based catalogs of Iceberg have it. It is written after
each commit, so a catalog that points at an older version was restored from a backup."""


def open_catalog(database_url: str, warehouse: str, namespace: str) -> "DurableCatalog":
    """Open the catalog in a database, and create its tables and the namespace if they are missing."""
    # The default, with PyArrow, imports pandas, which no command needs to look at tables.
    properties = {"uri": database_url, "warehouse": warehouse, PY_IO_IMPL: FSSPEC_FILE_IO}
    try:
        catalog = DurableCatalog("radar", **properties)
    except (IntegrityError, OperationalError, ProgrammingError):
        # Another process created the catalog's own tables at the same moment.
        catalog = DurableCatalog("radar", **properties)
    if database_url.startswith("sqlite"):

        @event.listens_for(catalog.engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            connection.execute("pragma busy_timeout = 60000")
            connection.execute("pragma synchronous = full")

        catalog.engine.dispose()
    with suppress(NamespaceAlreadyExistsError, IntegrityError):
        catalog.create_namespace_if_not_exists(namespace)
    return catalog


class _Head(NamedTuple):
    """The row of a table in the catalog."""

    key: Identifier
    location: str
    previous: str | None


class DurableCatalog(SqlCatalog):
    """Writes metadata durably, and opens sound heads only."""

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        self._verified: dict[Identifier, str] = {}
        self._unsynced: Sequence[Path] = ()

    @contextmanager
    def syncing(self, files: Sequence[Path]) -> Iterator[None]:
        """Sync files together with the metadata of a commit in this block, before the catalog points at it."""
        self._unsynced = files
        try:
            yield
        finally:
            self._unsynced = ()

    def _write_metadata(self, metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - called on the instance
        SqlCatalog._write_metadata(metadata, io, metadata_path)
        table = Path(local_path_of(metadata.location))
        # Creating a table also creates its folder, and the first one the namespace's.
        root = table if metadata.current_snapshot() else table.parents[1]
        sync_files([Path(local_path_of(metadata_path)), *self._unsynced], root)

    def create_table(self, *arguments: Any, **options: Any) -> Table:
        """See `SqlCatalog.create_table`."""
        table = super().create_table(*arguments, **options)
        _write_hint(table.metadata_location)
        return table

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """See `SqlCatalog.commit_table`. Other files that the updates refer to have to be durable, or in `syncing`."""
        response = super().commit_table(table, requirements, updates)
        self._verified[table.name()] = response.metadata_location
        _write_hint(response.metadata_location)
        return response

    def load_table(self, identifier: str | Identifier) -> Table:
        """Open the head of a table. If it is damaged or outdated, the table is recovered first.

        Raises:
            NoSuchTableError: the table does not exist.
            DamagedFilesError: data files are damaged in all states of the table; the next call opens it nevertheless.
            DamagedTableError: the table has no sound metadata.
        """
        key = self.identifier_to_tuple(identifier)
        while True:
            # Read before the catalog: whatever the hint names was committed by then.
            hint = _read_hint(self._metadata_folder(key))
            head = self._head(key)
            damage: DamagedTableError | None = None
            try:
                table = self.open_at(head.key, head.location)
                if (behind := version_of(hint) - version_of(table.metadata_location)) > 0:
                    damage = DamagedTableError(
                        f"the catalog is {behind} commits older than the table; a backup was restored"
                    )
                elif self._verified.get(key) != table.metadata_location:
                    _verify(table)
            except DamagedTableError as error:
                damage = error
            else:
                if damage is None:
                    self._verified[key] = table.metadata_location
                    return table
            # Unless another process has committed meanwhile, which may also delete metadata.
            if self._head(key) == head:
                self._recover(head, hint, damage)

    def amend(self, identifier: str | Identifier, change: Callable[[TableMetadataV2], TableMetadataV2]) -> None:
        """Commit a change of a table's metadata that leaves its rows as they are.

        Args:
            change: returns the changed metadata; called again if another process commits meanwhile.
        """
        while True:
            table = self.load_table(identifier)
            head = self._head(table.name())
            if head.location != table.metadata_location:
                continue
            assert isinstance(table.metadata, TableMetadataV2)  # as all tables are created
            changed = change(table.metadata)
            if changed == table.metadata or self._replace_head(
                head, table, changed, version_of(table.metadata_location) + 1
            ):
                return

    def location_of(self, identifier: str | Identifier) -> str:
        """Location of a table's current metadata.

        Raises:
            NoSuchTableError: the table does not exist.
        """
        return self._head(self.identifier_to_tuple(identifier)).location

    def _update_and_stage_table(
        self,
        current_table: Table | None,
        table_identifier: Identifier,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> StagedTable:
        """See `SqlCatalog`. Refuses to expire a snapshot that was pinned meanwhile, for pyiceberg would remove the pin with it."""
        removed = {number for one in updates if isinstance(one, RemoveSnapshotsUpdate) for number in one.snapshot_ids}
        if current_table and removed & {ref.snapshot_id for ref in current_table.metadata.refs.values()}:
            raise CommitFailedException("a snapshot was pinned meanwhile")
        return super()._update_and_stage_table(current_table, table_identifier, requirements, updates)

    def register_newest(self, identifier: str | Identifier) -> bool:
        """Register a table that the catalog has lost, at the newest sound metadata in its folder. Returns whether there is any.

        Raises:
            TableAlreadyExistsError: another process has registered the table meanwhile.
        """
        key = self.identifier_to_tuple(identifier)
        for location in filter(None, [_read_hint(self._metadata_folder(key)), *self._newest_first(key)]):
            # Without a commit, it is of a table that another process is creating.
            if (state := read_state(location)) and state.snapshot and self._is_sound(key, location):
                self.register_table(identifier, location)
                self.record(identifier, "the catalog had lost the table")
                return True
        return False

    def recover(self, identifier: str | Identifier, reason: str) -> bool:
        """Replace the head of a table by the newest sound metadata in its folder. Returns whether that is another one.

        Raises:
            DamagedTableError: the table has no sound metadata.
        """
        key = self.identifier_to_tuple(identifier)
        head = self._head(key)
        newest = next((path for path in self._newest_first(key) if self._is_sound(head.key, path)), None)
        if newest is None or newest == head.location:
            return False
        self._adopt(head, self.open_at(key, newest), DamagedTableError(reason))
        return True

    def record(self, identifier: str | Identifier, reason: str, lost_version: int = 0) -> None:
        """Record a recovery of a table that leaves its files as they are.

        Args:
            lost_version: newest version of the metadata that was lost.
        """
        head = self._head(self.identifier_to_tuple(identifier))
        self._adopt(head, self.open_at(head.key, head.location), DamagedTableError(reason), lost_version)

    def drop_head(self, identifier: str | Identifier) -> int:
        """Remove a table from the catalog. Returns the newest version of its metadata that is known of."""
        key = self.identifier_to_tuple(identifier)
        hint, head = _read_hint(self._metadata_folder(key)), self._head(key)
        self.drop_table(identifier)
        return max(version_of(hint), version_of(head.location))

    def _recover(self, head: _Head, hint: str | None, damage: DamagedTableError) -> None:
        """Replace a head by sound metadata: the one that was committed last, or the one before it, or the newest in the folder."""
        committed = hint if version_of(hint) > version_of(head.location) else head.previous
        others = [path for path in self._newest_first(head.key) if path != head.location]
        for path in filter(None, [committed, *others, head.location]):
            if self._is_sound(head.key, path):
                self._adopt(head, self.open_at(head.key, path), damage, version_of(hint))
                return
        if isinstance(damage, DamagedFilesError):
            self._verified[head.key] = head.location
            raise damage
        raise DamagedTableError(
            f"table {head.key[-1]}: {damage}, and no sound metadata is left in {self._metadata_folder(head.key)}. "
            "Check that the warehouse is mounted, or restore it from a backup. "
            "radar doctor --repair loads the table again from the landing zone"
        ) from damage

    def _adopt(self, head: _Head, table: Table, damage: DamagedTableError, lost_version: int = 0) -> None:
        """Point the catalog at a new version of sound metadata, unless another process changes the head first.

        A version counts commits, so it is at least the sequence number. Tables record which sequence number of their input each
        partition was built from, so numbers that were lost are not used again.
        """
        metadata = table.metadata
        assert isinstance(metadata, TableMetadataV2)  # as all tables are created
        newest = max(lost_version, version_of(head.location), *map(version_of, self._metadata_files(head.key)))
        is_lossless = version_of(table.metadata_location) == newest
        first, last = metadata.last_sequence_number + 1, metadata.last_sequence_number if is_lossless else newest
        recovery = Recovery(now_text(), str(damage), first, last)
        recoveries = [*decode(metadata.properties.get(PROPERTY, "[]")), recovery]
        adopted = metadata.model_copy(
            update={
                "last_sequence_number": last,
                "properties": {**metadata.properties, PROPERTY: encode(recoveries)},
            }
        )
        if self._replace_head(head, table, adopted, newest + 1):
            lost = f"commits {first} to {last} are lost and are built again" if last >= first else "nothing is lost"
            logger.error("Table %s was recovered: %s; %s", head.key[-1], damage, lost)

    def _replace_head(self, head: _Head, base: Table, metadata: TableMetadata, version: int) -> bool:
        """Point the catalog at new metadata, unless another process changes the head first. Returns whether it does.

        Args:
            base: the state that the metadata follows.
            metadata: without the entry of `base` in its log, and with the time of `base`.
        """
        entry = MetadataLogEntry(**{"metadata-file": base.metadata_location, "timestamp-ms": metadata.last_updated_ms})
        following = metadata.model_copy(
            update={
                "last_updated_ms": max(time.time_ns() // 10**6, metadata.last_updated_ms + 1),
                "metadata_log": [*metadata.metadata_log, entry][-METADATA_KEPT:],
            }
        )
        provider = load_location_provider(metadata.location, metadata.properties)
        location = provider.new_table_metadata_file_location(version)
        self._write_metadata(following, base.io, location)
        statement = (
            update(IcebergTables)
            .where(*self._is_row_of(head.key), IcebergTables.metadata_location == head.location)
            .values(metadata_location=location, previous_metadata_location=base.metadata_location)
        )
        with Session(self.engine) as session:
            is_replaced = session.execute(statement).rowcount == 1  # pyright: ignore[reportAttributeAccessIssue]
            session.commit()
        if is_replaced:
            _write_hint(location)
        else:
            Path(local_path_of(location)).unlink(missing_ok=True)
        return is_replaced

    def _head(self, key: Identifier) -> "_Head":
        statement = select(IcebergTables.metadata_location, IcebergTables.previous_metadata_location)
        with Session(self.engine) as session:
            found = session.execute(statement.where(*self._is_row_of(key))).one_or_none()
        if found is None:
            raise NoSuchTableError(f"Table does not exist: {'.'.join(key)}")
        return _Head(key, *found)

    def _is_row_of(self, key: Identifier) -> tuple[ColumnElement[bool], ...]:
        return (
            IcebergTables.catalog_name == self.name,
            IcebergTables.table_namespace == key[0],
            IcebergTables.table_name == key[1],
        )

    def open_at(self, key: Identifier, location: str) -> Table:
        """A table at some metadata.

        Raises:
            DamagedTableError: the metadata is missing or can't be read.
        """
        row = {"table_namespace": key[0], "table_name": key[1], "metadata_location": location}
        with damage_of(f"metadata {_name(location)}"):
            return self._convert_orm_to_iceberg(
                IcebergTables(catalog_name=self.name, previous_metadata_location=None, **row)
            )

    def _is_sound(self, key: Identifier, location: str) -> bool:
        with suppress(DamagedTableError):
            _verify(self.open_at(key, location))
            return True
        return False

    def _metadata_folder(self, key: Identifier) -> Path:
        return Path(local_path_of(self.properties["warehouse"]), *key, "metadata")

    def _metadata_files(self, key: Identifier) -> list[str]:
        return [f"file://{path}" for path in self._metadata_folder(key).glob("*.metadata.json")]

    def _newest_first(self, key: Identifier) -> list[str]:
        """Locations of the readable metadata files in the folder of a table, by the time at which they were written.

        Not by version: after a recovery, metadata that was given up may have higher ones. Metadata without a commit comes last.
        """
        found: list[tuple[bool, datetime, int, str]] = []
        for location in self._metadata_files(key):
            # Without the validation by pyiceberg: there may be thousands of files, and the newest ones are opened next.
            if state := read_state(location):
                found.append((state.snapshot is not None, state.committed_at, version_of(location), location))
        return [location for *_, location in sorted(found, reverse=True)]


def _verify(table: Table) -> None:
    """Check that the manifests of a table exist, and so do the data files of the commits that it can fall back by.

    Older data files are checked when their manifest is read.

    Raises:
        DamagedTableError: one is missing or has another size than it was written with.
    """
    snapshot = table.metadata.current_snapshot()
    if snapshot is None:
        return
    with damage_of(f"manifest list {_name(snapshot.manifest_list)}"):
        manifests = snapshot.manifests(table.io)
        expected = int((snapshot.summary or {}).get("total-data-files", 0) or 0)
        if expected and not manifests:
            raise ValueError("empty")
    for manifest in manifests:
        with damage_of(f"manifest {_name(manifest.manifest_path)}"):
            size_bytes = Path(local_path_of(manifest.manifest_path)).stat().st_size
            if size_bytes != manifest.manifest_length:
                raise DamagedTableError(f"manifest {_name(manifest.manifest_path)} is truncated")
            if has_files(manifest) and manifest.sequence_number > (snapshot.sequence_number or 0) - METADATA_KEPT:
                read_manifest(manifest, table.io)


def _name(location: str | None) -> str:
    return (location or "").rpartition("/")[2]


def _read_hint(folder: Path) -> str | None:
    """Location of the metadata that was committed last, if the hint is known."""
    with suppress(OSError, UnicodeDecodeError):
        return f"file://{folder / (folder / HINT).read_text()}.metadata.json"
    return None


def _write_hint(location: str) -> None:
    path = Path(local_path_of(location))
    fresh = path.with_name(f".{HINT}.{path.name}")
    # Without it, a restored database may not be noticed; the commit itself is done.
    with suppress(OSError):
        fresh.write_text(path.name.removesuffix(".metadata.json"))
        fresh.replace(path.with_name(HINT))
