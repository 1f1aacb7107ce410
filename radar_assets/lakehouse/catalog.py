"""The Iceberg catalog: the only module that commits files to tables.

A commit is one atomic snapshot under optimistic concurrency: if another process has changed the same window in the meantime, the
files are built again. Every commit leaves a data file in each partition that it changed, an empty one if necessary, so the sequence
number of a partition's newest file shows when the partition last changed. Partitions that never had rows or input have no file.
"""

import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets import tracing
from radar_assets.lakehouse import history, omissions, recoveries
from radar_assets.lakehouse.commits import Build, Commit, Rewrite, discard
from radar_assets.lakehouse.files import FileRef, NewFile, Origin, PartitionKey, file_stem, local_path_of, unit_range
from radar_assets.lakehouse.iceberg import iceberg_data_file, iceberg_partition_spec, iceberg_schema, partition_names
from radar_assets.lakehouse.recoveries import DamagedFilesError, DamagedTableError, Recovery, now_text
from radar_assets.lakehouse.snapshot import Snapshot, is_sound, list_files
from radar_assets.lakehouse.table import Table
from radar_assets.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.metadata import TableMetadataV2
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

    from radar_assets.lakehouse.durable_catalog import DurableCatalog

logger = logging.getLogger(__name__)

NAMESPACE = "radar"
MAX_BUILDS = 20
"""Maximum builds of a window that other processes keep changing."""


class CommitConflictError(Exception):
    """Other processes kept changing the window while this one tried to commit it."""


class Catalog:
    """Radar's tables, in the SQL catalog of the operational database.

    Args:
        database_url: SQLAlchemy URL of the database, driver included.
        warehouse: Iceberg location of the data folder, without a trailing slash.
        tables: the declarations, by name.
    """

    def __init__(self, database_url: str, warehouse: str, tables: Mapping[str, Table]) -> None:
        self.tables = tables
        self.database_url = database_url
        self.warehouse = warehouse
        self._loaded: dict[str, IcebergTable] = {}

    @cached_property
    def _catalog(self) -> "DurableCatalog":
        from radar_assets.lakehouse.durable_catalog import open_catalog

        return open_catalog(self.database_url, self.warehouse, NAMESPACE)

    def snapshot(self, name: str, as_of: datetime | str | None = None) -> Snapshot:
        """A table as it stands now, or as it stood at a time in UTC or at a pin. A missing table is created.

        Raises:
            SnapshotExpiredError: no snapshot is as old as `as_of`.
            UnknownPinError: the table has no pin of this name.
        """
        table = self.tables[name]
        iceberg = self._load(table)
        if as_of is None:
            return Snapshot(table, iceberg, iceberg.metadata.current_snapshot(), lambda: self.drop_damaged(name))
        return self._past(table, iceberg, history.find(name, iceberg, as_of))

    def snapshot_numbered(self, name: str, sequence_number: int) -> Snapshot:
        """A table after its commit of this sequence number, or near it; see `history.find_numbered`."""
        iceberg = self._load(self.tables[name])
        return self._past(self.tables[name], iceberg, history.find_numbered(name, iceberg, sequence_number))

    def _past(self, table: Table, current: "IcebergTable", found: "history.State | IcebergSnapshot") -> Snapshot:
        if not isinstance(found, history.State):
            return Snapshot(table, current, found, None)
        past = self._catalog.open_at(current.name(), found.location)
        return Snapshot(table, past, past.metadata.current_snapshot(), None)

    def amend(self, name: str, change: "Callable[[TableMetadataV2], TableMetadataV2]") -> None:
        """Commit a change of a table's metadata; see `DurableCatalog.amend`."""
        self._load(self.tables[name])
        self._catalog.amend(f"{NAMESPACE}.{name}", change)

    def commit(
        self,
        name: str,
        build: Callable[[Snapshot], Build],
        *,
        replace: bool = True,
        reads: Iterable[Window] = (),
        touch: Callable[[Snapshot], frozenset[PartitionKey]] | None = None,
    ) -> Commit:
        """Build files and commit them in one snapshot.

        Args:
            build: writes the files for a state of the table; called again if that state is outdated at the commit.
            replace: whether to drop what the windows hold; otherwise the files are added.
            reads: other windows of the table that the build reads; a change in them also causes another build.
            touch: finds other partitions to mark as changed, in the state that the commit is based on.

        Raises:
            CommitConflictError: other processes kept changing the windows.
        """
        for _ in range(MAX_BUILDS):
            base = self.snapshot(name)
            try:
                built = build(base)
            except DamagedFilesError:
                # The damaged files were dropped from their table, so the next build doesn't read them.
                continue
            try:
                with tracing.span(f"commit {name}"):
                    commit = self._commit(base, built, replace, [*built.windows, *reads], touch)
            except BaseException:
                self._discard_uncommitted(name, built.files)
                raise
            if commit is not None:
                return commit
            discard(built.files)
        raise CommitConflictError(
            f"{name}: other runs changed {list(built.windows)[:3]} during each of {MAX_BUILDS} builds; run it again"
        )

    def _commit(
        self,
        base: Snapshot,
        built: Build,
        replace: bool,
        watched: list[Window],
        touch: Callable[[Snapshot], frozenset[PartitionKey]] | None,
    ) -> Commit | None:
        """Commit what was built on `base`; None if a watched window has changed since. Changes elsewhere don't matter."""
        from pyiceberg.exceptions import CommitFailedException

        head = base
        for attempt in itertools.count():
            if attempt:
                time.sleep(random.uniform(0, 0.02 * min(attempt, 20)))
                head = self.snapshot(base.table.name)
            if head.snapshot_id != base.snapshot_id and any(
                head.files(window, newer_than=base.sequence_number) for window in watched
            ):
                return None
            if not built.files and not built.windows:
                return Commit(head.table, head.sequence_number, 0, (), frozenset(), ())
            old = [ref for window in built.windows for ref in head.files(window)] if replace else []
            touched = touch(head) if touch else frozenset()
            markers = self._markers(head, built, old, touched)
            try:
                return self._write_snapshot(head, built, old, [*built.files, *markers])
            except CommitFailedException:
                discard(markers)
            except BaseException:
                self._discard_uncommitted(base.table.name, markers)
                raise
        raise AssertionError("unreachable")

    def rewrite(self, name: str, rewrites: Sequence[Rewrite]) -> list[Rewrite]:
        """Replace files by others with the same rows, in one commit that changes no partition. Builds don't conflict with it.

        Args:
            rewrites: those whose sources have been replaced since are left out. None at all: merge all small manifests instead.

        Returns:
            The rewrites that were committed; none of them if others kept committing first.
        """
        from pyiceberg.exceptions import CommitFailedException

        done: list[Rewrite] = []
        for _ in range(MAX_BUILDS):
            head = self.snapshot(name)
            live = {ref.path for ref in head.files()}
            current = [rewrite for rewrite in rewrites if live.issuperset(ref.path for ref in rewrite.sources)]
            if rewrites and not current:
                break
            files = [file for rewrite in current for file in rewrite.files]
            try:
                self._write_snapshot(head, Build([], {}), [], files, rewrites=current)
                done = current
                break
            except CommitFailedException:
                continue
            except BaseException:
                self._discard_uncommitted(name, [file for rewrite in rewrites for file in rewrite.files])
                raise
        discard(file for rewrite in rewrites if rewrite not in done for file in rewrite.files)
        return done

    def _discard_uncommitted(self, name: str, files: list[NewFile]) -> None:
        """Remove files after a failure, unless they are committed (an interrupt, a lost connection) or this can't be determined."""
        with suppress(Exception):
            committed = {ref.local_path for ref in self.snapshot(name).files()}
            discard(file for file in files if file.path not in committed)

    def _markers(
        self, head: Snapshot, built: Build, old: list[FileRef], touched: frozenset[PartitionKey]
    ) -> list[NewFile]:
        """Write empty files for the partitions that the commit changes without writing rows.

        Partitions without rows before and after need one only if a later build has to know what they were built from. History has
        many more hours without events than with.
        """
        table = head.table
        states = {
            value: state for window, state in built.windows.items() for value in range(*unit_range(table, window))
        }
        for file in built.files:
            if file.partition[0] not in states:
                raise ValueError(f"{table.name}: {file.path} is outside the windows that it was built for")
        missing = set(touched) | {ref.partition for ref in old}
        further = (None,) * (len(table.partition_by) - 1)
        present = {file.partition[0] for file in built.files} | {key[0] for key in missing}
        recorded = states.keys() if built.recorded is None else states.keys() & built.recorded
        missing |= {(value, *further) for value in recorded if value not in present}
        missing -= {file.partition for file in built.files}
        return [self._empty_file(head, key, states.get(key[0] or 0, Origin())) for key in sorted(missing, key=str)]

    def data_folder(self, table: Table) -> Path:
        """Local folder of a table's data files."""
        return Path(local_path_of(self.warehouse)) / NAMESPACE / table.name / "data"

    def _empty_file(self, head: Snapshot, partition: PartitionKey, origin: Origin) -> NewFile:
        import pyarrow.parquet as pq
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        path = self.data_folder(head.table) / "empty" / f"{file_stem(head.table, origin)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        schema: pa.Schema = schema_to_pyarrow(head.iceberg.schema())
        pq.write_table(schema.empty_table(), path)
        return NewFile(path=str(path), partition=partition, rows=0, size_bytes=path.stat().st_size)

    def drop_damaged(self, name: str) -> int:
        """Drop the windows with damaged data files from a table, so that they are stale or missing and are built again.

        Whole windows, because a partition without some of its files, or an hour without some lines of a segment, would look complete.

        Returns:
            The number of damaged files.
        """
        from pyiceberg.exceptions import CommitFailedException

        while True:
            head = self.snapshot(name)
            refs = [ref for manifest in head.manifests() for ref in list_files(manifest, head.iceberg.io)]
            damaged = [ref for ref in refs if not is_sound(ref)]
            if not damaged:
                return 0
            values = {ref.partition[0] for ref in damaged}
            example = damaged[0].path.rpartition("/")[2]
            reason = f"{len(damaged)} data files were missing or truncated, e.g. {example}"
            recovery = Recovery(now_text(), reason)
            properties = {recoveries.PROPERTY: recoveries.encode([*head.recoveries, recovery])}
            dropped = [ref for ref in refs if ref.partition[0] in values]
            with suppress(CommitFailedException):
                self._write_snapshot(head, Build([], {}), dropped, [], properties)
                logger.error("Table %s: %s; %d partitions are built again", name, reason, len(values))
                return len(damaged)

    def recover(self, name: str, *, start_over: bool = False) -> list[Recovery]:
        """Open the newest sound metadata of a table, and drop damaged data files. `radar doctor --repair` and `radar restore` use it.

        Args:
            start_over: whether to start with an empty table if there is no sound metadata.

        Returns:
            The recoveries that this took.

        Raises:
            DamagedTableError: there is no sound metadata.
        """
        table, identifier, started_at = self.tables[name], f"{NAMESPACE}.{name}", now_text()
        try:
            self._load(table)
        except DamagedTableError:
            if not start_over:
                raise
            lost = self._catalog.drop_head(identifier)
            self._create(identifier, table)
            self._catalog.record(identifier, "no sound metadata was left; the table starts over", lost)
        self._catalog.recover(identifier, "newer metadata was found")
        self.drop_damaged(name)
        return [recovery for recovery in self.snapshot(name).recoveries if recovery.at >= started_at]

    def _write_snapshot(
        self,
        head: Snapshot,
        built: Build,
        old: list[FileRef],
        new: list[NewFile],
        properties: Mapping[str, str] | None = None,
        rewrites: Sequence[Rewrite] | None = None,
    ) -> Commit:
        from pyiceberg.table.update.snapshot import ExpireSnapshots

        from radar_assets.lakehouse.replacement import ReplaceFiles, ReplaceTransaction

        iceberg = head.iceberg
        written: list[Path] = []
        with self._catalog.syncing(written), ReplaceTransaction(iceberg) as transaction:
            added = [iceberg_data_file(head, file) for file in new]
            replacement = ReplaceFiles(transaction, head, old, added, rewrites)
            replacement.commit()
            replaced = {value for window in built.windows for value in range(*unit_range(head.table, window))}
            left_out = omissions.merge(head.omissions, replaced, built.omissions)
            if left_out != head.omissions:
                transaction.set_properties({omissions.PROPERTY: omissions.encode(left_out)})
            if properties:
                transaction.set_properties(dict(properties))
            if iceberg.properties.get(history.DELETES_METADATA) == "true":
                transaction.set_properties({history.DELETES_METADATA: "false"})
            expired = history.expirable(transaction.table_metadata)
            if len(expired) > history.SNAPSHOTS_TOLERATED - history.SNAPSHOTS_KEPT:
                ExpireSnapshots(transaction).by_ids(expired).commit()
            written += [*(Path(file.path) for file in new), *replacement.written]
        current = iceberg.metadata.current_snapshot()
        return Commit(
            table=head.table,
            sequence_number=(current.sequence_number or 0) if current else 0,
            table_rows=int(current.summary["total-records"] or 0) if current and current.summary else 0,
            files=tuple(new),
            partitions=frozenset(file.partition for file in new),
            windows=tuple(built.windows),
        )

    def _load(self, table: Table) -> "IcebergTable":
        """Load a table, and adapt it to its declaration. Create it if neither the catalog nor its folder has it."""
        from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
        from pyiceberg.transforms import parse_transform
        from sqlalchemy.exc import IntegrityError

        identifier = f"{NAMESPACE}.{table.name}"
        try:
            iceberg = self._current(identifier)
        except NoSuchTableError:
            try:
                if not self._catalog.register_newest(identifier):
                    return self._create(identifier, table)
            except (TableAlreadyExistsError, CommitFailedException, IntegrityError):
                return self._catalog.load_table(identifier)
            iceberg = self._current(identifier)
        if set(table.column_names) - {item.name for item in iceberg.schema().fields}:
            with iceberg.update_schema() as update:
                update.union_by_name(iceberg_schema(table))
        if [part.name for part in iceberg.spec().fields] != partition_names(table):
            # Files that exist keep their partitions.
            with iceberg.update_spec() as update:
                for part in iceberg.spec().fields:
                    update.remove_field(part.name)
                for name, (column, transform) in zip(partition_names(table), table.partition_by, strict=True):
                    update.add_field(column, parse_transform(transform), name)
        return iceberg

    def _current(self, identifier: str) -> "IcebergTable":
        """The current state of a table; its metadata is parsed again only if it has changed.

        Raises:
            NoSuchTableError: the table does not exist.
        """
        location = self._catalog.location_of(identifier)
        known = self._loaded.get(identifier)
        if known is None or known.metadata_location != location:
            try:
                known = self._catalog.load_table(identifier)
            except DamagedFilesError:
                self.drop_damaged(identifier.rpartition(".")[2])
                known = self._catalog.load_table(identifier)
            self._loaded[identifier] = known
        # A commit modifies the object that it is made on.
        return copy(known)

    def _create(self, identifier: str, table: Table) -> "IcebergTable":
        return self._catalog.create_table(
            identifier,
            schema=iceberg_schema(table),
            partition_spec=iceberg_partition_spec(table),
            location=f"{self.warehouse}/{NAMESPACE}/{table.name}",
            properties={
                "format-version": "2",
                # Conflicts are resolved by window in `commit`, not by pyiceberg's retries.
                "commit.retry.num-retries": "0",
                history.DELETES_METADATA: "false",
                "write.metadata.previous-versions-max": str(history.METADATA_KEPT),
                "comment": table.description,
            },
        )
