"""Dagster's event log in SQLite, in one file for all runs."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from sqlalchemy import Connection, Engine, create_engine, inspect

from radar_assets.store.database import PATIENCE_S

IN_INDEX = {kind.value for kind in (ASSET_EVENTS | ASSET_CHECK_EVENTS | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys())}
"""Types of events that Dagster's own event log writes to the index as well as to the file of the run."""
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class EventLog(SqliteEventLogStorage):
    """Dagster's event log in SQLite with all runs in one file, over persistent connections.

    Dagster's own has a file of 300 kB for each run, writes half of the events twice, and opens and closes a file for each event, which
    takes as long as writing it. Logs that it has written are moved when they are needed.
    """

    store_event = SqlEventLogStorage.store_event
    get_event_records = SqlEventLogStorage.get_event_records
    fetch_run_status_changes = SqlEventLogStorage.fetch_run_status_changes

    @property
    def is_run_sharded(self) -> bool:
        """False: ids of events are unique in the log."""
        return False

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(self.conn_string_for_shard(INDEX_SHARD_NAME), connect_args={"timeout": PATIENCE_S})

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        del shard
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
            self._move(file)
        return self.index_connection()

    def file_of(self, run_id: str) -> Path:
        """Where an earlier release stored the log of a run."""
        return Path(self._base_dir, f"{run_id}.db")

    def path_for_shard(self, run_id: str) -> str:
        """The file of the log, whatever the run."""
        del run_id
        return super().path_for_shard(INDEX_SHARD_NAME)

    def _move(self, file: Path) -> None:
        """Move the log of a run that an earlier release has written into the common file."""
        columns = [column.name for column in SqlEventLogStorageTable.columns if column.name != "id"]
        with self.index_connection() as connection:
            connection.exec_driver_sql("begin immediate")  # another process may be moving the same file
            if not file.exists():
                return
            quoted = ", ".join(f'"{name}"' for name in columns)
            with closing(sqlite3.connect(file, timeout=PATIENCE_S)) as log:
                rows = log.execute(f"select {quoted} from event_logs order by id").fetchall()
            kind = columns.index("dagster_event_type")
            if moved := [row for row in rows if row[kind] not in IN_INDEX]:
                places = ", ".join("?" * len(columns))
                connection.exec_driver_sql(f"insert into event_logs ({quoted}) values ({places})", moved)
            file.unlink()

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


def log_files(event_log: Any) -> dict[str, Path]:
    """The files that an earlier release wrote, by run id. None on Postgres."""
    if not isinstance(event_log, EventLog):
        return {}
    return {run_id: event_log.file_of(run_id) for run_id in event_log.get_all_run_ids()}
