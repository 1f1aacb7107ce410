"""Dagster's event log in SQLite, in one file for all runs."""

import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster_shared.record import replace
from sqlalchemy import Connection, Engine, create_engine, inspect

from radar_assets.store.database import PATIENCE_S

if TYPE_CHECKING:
    from dagster import EventLogEntry

EVENTS_A_BATCH = 1000
"""Events of a run over many partitions that are written in one transaction."""
IN_INDEX = {kind.value for kind in (ASSET_EVENTS | ASSET_CHECK_EVENTS | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys())}
"""Types of events that Dagster's own event log writes to the index as well as to the file of the run."""
QUIET_S = 60
"""How long the process of a run may still log after the run has ended, in seconds."""
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class EventLog(SqliteEventLogStorage):
    """Dagster's event log in SQLite with all runs in one file, over persistent connections.

    Dagster's own has a file of 300 kB for each run, writes half of the events twice, and opens and closes a file for each event, which
    takes as long as writing it. Logs that it has written are moved when they are needed.
    """

    _batch: tuple[int, Connection] | None = None
    """The thread that stores a batch, and its connection. Set under the lock."""

    get_event_records = SqlEventLogStorage.get_event_records
    fetch_run_status_changes = SqlEventLogStorage.fetch_run_status_changes

    @property
    def is_run_sharded(self) -> bool:
        """False: ids of events are unique in the log."""
        return False

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(self.conn_string_for_shard(INDEX_SHARD_NAME), connect_args={"timeout": PATIENCE_S})

    def store_event(self, event: "EventLogEntry") -> None:
        """Store an event of a run."""
        SqlEventLogStorage.store_event(self, of_whole_assets(event))

    def store_event_batch(self, events: "Sequence[EventLogEntry]") -> None:
        """Store events in one transaction. Dagster's own has several for each, and waits for the disk as often."""
        for run_id in {event.run_id for event in events}:
            with self.run_connection(run_id):
                pass  # An earlier log of the run is taken over before, because its file is deleted at once.
        with self._connect(INDEX_SHARD_NAME) as connection:
            self._batch = threading.get_ident(), connection
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        del shard
        if self._batch and self._batch[0] == threading.get_ident():
            yield self._batch[1]
            return
        with self._db_lock, self._engine.begin() as connection:
            sqlite: Any = connection.connection.driver_connection
            before = sqlite.total_changes
            yield connection
            is_written = sqlite.total_changes > before
        if is_written:
            # The UI follows a run by the modification time of the file, which a commit to the write-ahead log does not change.
            os.utime(self.path_for_shard(INDEX_SHARD_NAME))

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """A connection to the log, with the events of a run."""
        if run_id and _RUN_ID.fullmatch(run_id) and (file := self.file_of(run_id)).exists():
            self._take_over(run_id, file)
        return self.index_connection()

    def file_of(self, run_id: str) -> Path:
        """Where an earlier release stored the log of a run."""
        return Path(self._base_dir, f"{run_id}.db")

    def path_for_shard(self, run_id: str) -> str:
        """The file of the log, whatever the run."""
        del run_id
        return super().path_for_shard(INDEX_SHARD_NAME)

    def _take_over(self, run_id: str, file: Path) -> None:
        """Copy what an earlier release has logged of a run and is not in the common file yet. The file of the run is deleted once no
        process writes to it any more.
        """
        columns = [column.name for column in SqlEventLogStorageTable.columns if column.name != "id"]
        kind, body = columns.index("dagster_event_type"), columns.index("event")
        quoted, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        with _locked(file.parent):
            if not file.exists():
                return
            is_written = self._is_written(run_id, file)
            with closing(sqlite3.connect(file, timeout=PATIENCE_S)) as log:
                rows = log.execute(f"select {quoted} from event_logs order by id").fetchall()
            with self.index_connection() as connection:
                of_run = connection.exec_driver_sql("select event from event_logs where run_id = ?", (run_id,))
                known = set(of_run.scalars())
                if new := [row for row in rows if row[kind] not in IN_INDEX and row[body] not in known]:
                    connection.exec_driver_sql(f"insert into event_logs ({quoted}) values ({places})", new)
            if not is_written:
                file.unlink()

    def _is_written(self, run_id: str, file: Path) -> bool:
        """Whether a process of an earlier release may still write to the log of a run."""
        if not self.has_instance or time.time() - file.stat().st_mtime < QUIET_S:
            return True
        run = self._instance.get_run_by_id(run_id)
        return run is not None and not run.is_finished

    def has_table(self, table_name: str) -> bool:
        """Whether the log has a table. Cached, because only an upgrade of Dagster changes it."""
        return table_name in self._tables

    @cached_property
    def _tables(self) -> frozenset[str]:
        return frozenset(inspect(self._engine).get_table_names())

    def dispose(self) -> None:
        """Stop the watchers and close the connections."""
        super().dispose()
        with self._db_lock:
            self._engine.dispose()


def of_whole_assets(event: "EventLogEntry") -> "EventLogEntry":
    """The event, without partitions if it plans a check.

    Radar's checks have one result for all partitions of a run. Dagster plans a result for each partition nevertheless, none of which
    ever comes: in runs over a range, these were most of its storage.
    """
    plan = event.dagster_event
    if plan is None or plan.event_type_value != DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value:
        return event
    planned = replace(plan.asset_check_planned_data, partitions_subset=None)
    return event._replace(dagster_event=plan._replace(event_specific_data=planned))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for the lock of a folder. The system unlocks it when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def log_files(event_log: Any) -> dict[str, Path]:
    """The files that an earlier release wrote, by run id. None on Postgres."""
    if not isinstance(event_log, EventLog):
        return {}
    return {run_id: event_log.file_of(run_id) for run_id in event_log.get_all_run_ids()}
