"""Removes what Dagster's storage no longer needs: logs of old successful runs, old runs, and the space that they took.

Dagster's own `delete_run` would also remove the latest materialization of partitions, which then count as missing. The statements are
the same on SQLite and Postgres. They delete in small transactions, so that runs in progress never wait for long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterEventType as Kind
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageMetadata,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import (
    BackfillTagsTable,
    BulkActionsTable,
    RunsTable,
    RunStorageSqlMetadata,
    RunTagsTable,
)
from dagster._core.storage.schedules.schema import JobTickTable, ScheduleStorageSqlMetadata

from radar_assets.orchestration.runtime.event_log import log_files
from radar_assets.orchestration.settings import RunSettings
from radar_assets.store.database import shrink

BATCH = 1_000
"""Rows or runs per transaction, which then takes some 10 ms."""
MATERIALIZED, PLANNED = Kind.ASSET_MATERIALIZATION.value, Kind.ASSET_MATERIALIZATION_PLANNED.value
KEPT_AS_LATEST = {
    MATERIALIZED: (MATERIALIZED,),
    Kind.ASSET_OBSERVATION.value: (Kind.ASSET_OBSERVATION.value,),
    # A plan that nothing followed is what tells an attempt that had nothing to build from an earlier one that failed.
    PLANNED: (PLANNED, MATERIALIZED),
}
"""Types of events of which each partition keeps the latest, and the later events that replace them."""

Connect = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True)
class StorageSize:
    """How much Dagster's storage holds.

    Attributes:
        size_bytes: of its files, or of its tables on Postgres.
        files: 0 on Postgres.
        events: rows of the event log.
    """

    size_bytes: int
    files: int
    runs: int
    events: int


class DagsterDatabase:
    """Dagster's storage as tables."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        parts: tuple[Any, Any, Any] = (instance.event_log_storage, instance.run_storage, instance.schedule_storage)
        self._event_log = parts[0]
        self.events: Connect = parts[0].index_connection
        self.runs: Connect = parts[1].connect
        self.schedules: Connect = parts[2].connect

    def size(self) -> StorageSize:
        """How much it holds now."""
        with self.runs() as connection:
            runs = _count(connection, RunsTable)
        with self.events() as connection:
            events = _count(connection, SqlEventLogStorageTable)
            if connection.dialect.name == "postgresql":
                return StorageSize(_tables_bytes(connection), 0, runs, events)
        files = [*log_files(self._event_log).values()]
        for connect in (self.events, self.runs, self.schedules):
            with connect() as connection:
                database = Path(connection.engine.url.database or "")
            files += [database, *database.parent.glob(f"{database.name}-*")]
        sizes = []
        for file in files:
            # SQLite removes the write-ahead log with its last connection, and logs of an earlier release are moved.
            with suppress(FileNotFoundError):
                sizes.append(file.stat().st_size)
        return StorageSize(sum(sizes), len(sizes), runs, events)

    def prune(self, settings: RunSettings, now: datetime) -> None:
        """Remove what is older than its lifetime, except what a partition or check shows as its latest state.

        Args:
            now: in UTC, naive.
        """
        runs_before = now - timedelta(days=settings.runs_days)
        logs_before = now - timedelta(days=min(settings.run_logs_days, settings.runs_days))
        self._remove_backfills(runs_before)
        self._remove_runs(runs_before)
        for batch in self._old(SqlEventLogStorageTable, SqlEventLogStorageTable.c.timestamp, logs_before):
            self._remove_events(batch)
        checks = AssetCheckExecutionsTable
        for batch in self._old(checks, checks.c.evaluation_event_timestamp, logs_before):
            self._remove_evaluations(batch)
        self._remove_log_files(logs_before)
        with self.schedules() as connection:
            connection.execute(JobTickTable.delete().where(JobTickTable.c.timestamp < runs_before))

    def vacuum(self) -> None:
        """Give the space of removed rows back: to the file system on SQLite if it is most of a file, else to later rows."""
        for connect, metadata in (
            (self.events, SqlEventLogStorageMetadata),
            (self.runs, RunStorageSqlMetadata),
            (self.schedules, ScheduleStorageSqlMetadata),
        ):
            with connect() as connection:
                engine = connection.engine
            if engine.dialect.name == "sqlite":
                shrink(engine.url.database or "")
                continue
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                for table in metadata.sorted_tables:
                    connection.exec_driver_sql(f"vacuum (analyze) {table.name}")

    def _remove_backfills(self, before: datetime) -> None:
        """Remove backfills that ended."""
        ended = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]
        old = BulkActionsTable.c.status.in_(ended) & (BulkActionsTable.c.timestamp < before)
        keys = sa.select(BulkActionsTable.c.key).where(old)
        with self.runs() as connection:
            connection.execute(BackfillTagsTable.delete().where(BackfillTagsTable.c.backfill_id.in_(keys)))
            connection.execute(BulkActionsTable.delete().where(old))

    def _remove_runs(self, before: datetime) -> None:
        """Remove runs that ended, except those of backfills in progress. Their events go with the others."""
        runs = RunsTable.c
        ended = sa.or_(
            runs.end_time < before.replace(tzinfo=UTC).timestamp(),
            sa.and_(runs.end_time.is_(None), runs.update_timestamp < before),
        )
        unfinished = sa.select(BulkActionsTable.c.key).where(
            BulkActionsTable.c.status.not_in([status.value for status in BULK_ACTION_TERMINAL_STATUSES])
        )
        old = (
            sa.select(runs.run_id)
            .where(runs.status.in_([status.value for status in FINISHED_STATUSES]), ended)
            .where(sa.or_(runs.backfill_id.is_(None), runs.backfill_id.not_in(unfinished)))
            .where(runs.id < sa.select(sa.func.max(runs.id)).scalar_subquery())
            .limit(BATCH)
        )
        while True:
            with self.runs() as connection:
                run_ids = connection.scalars(old).all()
                if not run_ids:
                    return
                connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id.in_(run_ids)))
                connection.execute(RunsTable.delete().where(runs.run_id.in_(run_ids)))

    def _old(self, table: sa.Table, moment: sa.Column[Any], before: datetime) -> Iterator[list[int]]:
        """Ids of the rows of runs that succeeded or were removed, in batches, oldest first.

        Never the last row: SQLite would give its id to the next one, which sensors that have seen that id would miss.
        """
        last, done = -1, False
        with self.events() as connection:
            end = connection.scalar(sa.select(sa.func.max(table.c.id))) or 0
        while not done:
            rows = sa.select(table.c.id, table.c.run_id, moment).where(table.c.id > last, table.c.id < end)
            with self.events() as connection:
                found = connection.execute(rows.order_by(table.c.id).limit(BATCH)).all()
            if not found:
                return
            last = found[-1][0]
            old = [(key, run_id) for key, run_id, at in found if at is None or at < before]
            # Ids ascend with time, but for a few that were written at once.
            done = not old
            kept = self._kept_runs({run_id for _, run_id in old})
            if ids := [key for key, run_id in old if run_id not in kept]:
                yield ids

    def _kept_runs(self, run_ids: Iterable[str]) -> set[str]:
        """Those of the runs whose log is kept: they have not succeeded (yet)."""
        kept = sa.select(RunsTable.c.run_id).where(RunsTable.c.status != dg.DagsterRunStatus.SUCCESS.value)
        with self.runs() as connection:
            return set(connection.scalars(kept.where(RunsTable.c.run_id.in_(list(run_ids)))))

    def _remove_events(self, ids: Sequence[int]) -> None:
        event, newer = SqlEventLogStorageTable.alias("event"), SqlEventLogStorageTable.alias("newer")
        replaced = [
            sa.and_(
                event.c.dagster_event_type == kind,
                _has(
                    newer,
                    newer.c.asset_key == event.c.asset_key,
                    newer.c.dagster_event_type.in_(replacing),
                    newer.c.id > event.c.id,
                    partition=event.c.partition,
                ),
            )
            for kind, replacing in KEPT_AS_LATEST.items()
        ]
        removable = sa.select(event.c.id).where(
            event.c.id.in_(ids),
            sa.or_(
                event.c.dagster_event_type.is_(None), event.c.dagster_event_type.not_in(list(KEPT_AS_LATEST)), *replaced
            ),
        )
        with self.events() as connection:
            found = connection.scalars(removable).all()
            connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(found)))
            connection.execute(SqlEventLogStorageTable.delete().where(SqlEventLogStorageTable.c.id.in_(found)))

    def _remove_evaluations(self, ids: Sequence[int]) -> None:
        """Remove evaluations with a later one of the same check and partition, and plans, which their runs no longer follow."""
        table = AssetCheckExecutionsTable
        row, newer = table.alias("row"), table.alias("newer")
        completed = [status.value for status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES]
        replaced = _has(
            newer,
            newer.c.asset_key == row.c.asset_key,
            newer.c.check_name == row.c.check_name,
            newer.c.execution_status.in_(completed),
            newer.c.id > row.c.id,
            partition=row.c.partition,
        )
        planned = row.c.execution_status == AssetCheckExecutionRecordStatus.PLANNED.value
        removable = sa.select(row.c.id).where(row.c.id.in_(ids), sa.or_(planned, replaced))
        with self.events() as connection:
            found = connection.scalars(removable).all()
            connection.execute(table.delete().where(table.c.id.in_(found)))

    def _remove_log_files(self, before: datetime) -> None:
        """Remove the logs that an earlier release wrote to files."""
        for run_id, file in log_files(self._event_log).items():
            is_old = False
            with suppress(FileNotFoundError):  # moved meanwhile
                is_old = file.stat().st_mtime < before.replace(tzinfo=UTC).timestamp()
            if is_old and not self._kept_runs([run_id]):
                for suffix in ("", "-wal", "-shm"):
                    file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)


def _has(newer: Any, *conditions: sa.ColumnElement[bool], partition: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether there is a row of a partition, or one without a partition. In two parts, because an index serves each of them."""
    same = sa.exists().where(*conditions, newer.c.partition == partition)
    without = sa.exists().where(*conditions, newer.c.partition.is_(None))
    return sa.or_(same, sa.and_(partition.is_(None), without))


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _tables_bytes(connection: sa.Connection) -> int:
    names = {
        table.name
        for metadata in (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
        for table in metadata.sorted_tables
    }
    sizes = sa.text("select sum(pg_total_relation_size(to_regclass(name))) from unnest(:names) as name")
    return int(connection.scalar(sizes, {"names": sorted(names)}) or 0)
