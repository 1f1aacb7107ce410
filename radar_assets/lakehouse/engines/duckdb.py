"""The DuckDB engine: runs models over Parquet files and Arrow relations, and writes their rows as Parquet files by partition."""

import os
import resource
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import psutil

from radar_assets.lakehouse.engines.base import Engine, Session
from radar_assets.lakehouse.engines.limits import limited
from radar_assets.lakehouse.files import EPOCH, STEP, UNRECORDED, NewFile, Origin, PartitionKey, file_stem
from radar_assets.lakehouse.inputs import Files, Inputs
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.table import Column, Table
from radar_assets.scratch import ENGINE, OwnedFolder, owned_folder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TYPES = {
    "string": "varchar",
    "long": "bigint",
    "int": "integer",
    "double": "double",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "date": "date",
    "binary": "blob",
    "decimal(18,4)": "decimal(18, 4)",
}
_NO_PARTITION = ("__HIVE_DEFAULT_PARTITION__", "NULL", None)
MICROSECOND = timedelta(microseconds=1)
ROW_GROUP = 30_720
"""Rows per row group. Larger groups make partitioned writes 50 % slower."""
COMPRESSION_LEVEL = 1
"""Level of Zstandard. With DuckDB's default of 3, files of events are not smaller, and take 10 % longer to write."""
ROWS_HELD = 262_144
"""Rows that a thread buffers before it writes them to the files of their partitions. With DuckDB's default, which is twice this, two
threads buffer a gigabyte of events and spill."""
MAX_OPEN_FILES = 1000
"""Maximum files that a statement writes at a time, if the process may open twice as many. With DuckDB's default of 100, late lines of
a month became many small files for each hour."""

SPILL = "spill"
"""Name of the folder that DuckDB makes when it spills."""
MAX_KEPT_MB = 128
"""Maximum growth of the process before its database is closed. DuckDB returns memory only when it closes."""

PARTITIONS_A_WRITE = 48
"""Partitions per statement. DuckDB needs about a megabyte for each partition and thread."""


class DuckDBEngine(Engine):
    """Runs SQL in an in-memory DuckDB that spills to its own folder.

    Args:
        memory: DuckDB's memory limit, such as `1GB`.
        scratch: parent folder of spilled files.
    """

    partitions_a_write = PARTITIONS_A_WRITE

    def __init__(self, memory: str, threads: int, scratch: Path) -> None:
        import duckdb

        self.version = f"duckdb {duckdb.__version__}"
        self.memory = memory
        self.threads = threads
        self.scratch = scratch
        self._kept: dict[int, _Database] = {}
        self._lock = Lock()

    def write(
        self,
        model: SqlModel,
        inputs: Inputs,
        parameters: Mapping[str, Any],
        table: Table,
        folder: Path,
        origin: Origin = UNRECORDED,
        limit_s: float | None = None,
    ) -> list[NewFile]:
        """See `Engine.write`."""
        import duckdb

        try:
            return self._write(model.sql, inputs, parameters, table, folder, origin, limit_s)
        except duckdb.OutOfMemoryException:
            # The rows have too many partitions to write at once: stage them, and write some partitions at a time.
            pass
        files: list[NewFile] = []
        try:
            with self.staged(model, inputs, parameters, limit_s) as rows:
                keys = ", ".join(f"{key} as k{index}" for index, key in enumerate(_partition_keys(table)))
                distinct = self.query(
                    SqlModel("keys", f"select distinct {keys} from staged order by all"), {"staged": rows}
                )
                for start in range(0, distinct.num_rows, PARTITIONS_A_WRITE):
                    wanted = distinct.slice(start, PARTITIONS_A_WRITE)
                    same = " and ".join(
                        f"{key} is not distinct from k{index}" for index, key in enumerate(_partition_keys(table))
                    )
                    part = f"select * from staged where exists (select 1 from wanted where {same})"
                    files += self._write(part, {"staged": rows, "wanted": wanted}, {}, table, folder, origin)
        except BaseException:
            for file in files:
                Path(file.path).unlink(missing_ok=True)
            raise
        return files

    def _write(
        self,
        sql: str,
        inputs: Inputs,
        parameters: Mapping[str, Any],
        table: Table,
        folder: Path,
        origin: Origin,
        limit_s: float | None = None,
    ) -> list[NewFile]:
        batch = folder / uuid.uuid4().hex
        columns = ", ".join(f'"{name}"' for name in table.column_names)
        names = [f'"{column}_{transform}"' for column, transform in table.partition_by]
        keys = ", ".join(f"{key} as {name}" for key, name in zip(_partition_keys(table), names, strict=True))
        field_ids = ", ".join(f"'{name}': {position}" for position, name in enumerate(table.column_names, start=1))
        statement = f"""
            copy (select {columns}, {keys} from ({sql}))
            to '{_quoted(batch)}'
            (
                format parquet, compression zstd, compression_level {COMPRESSION_LEVEL},
                row_group_size {ROW_GROUP}, partition_by ({", ".join(names)}),
                filename_pattern '{file_stem(table, origin)}-{{i}}', return_stats true, field_ids {{{field_ids}}}
            )
        """
        batch.mkdir(parents=True)
        try:
            with self.connect(inputs) as connection, limited(connection, limit_s):
                written = connection.execute(statement, dict(parameters)).fetchall()
        except BaseException:
            shutil.rmtree(batch, ignore_errors=True)
            raise
        return [_new_file(table, row) for row in written]

    def query(
        self,
        model: SqlModel,
        inputs: Inputs,
        parameters: Mapping[str, Any] | None = None,
        limit_s: float | None = None,
    ) -> "pa.Table":
        """See `Engine.query`."""
        with self.connect(inputs) as connection, limited(connection, limit_s):
            return connection.execute(model.sql, dict(parameters or {})).to_arrow_table()

    @contextmanager
    def staged(
        self, model: SqlModel, inputs: Inputs, parameters: Mapping[str, Any], limit_s: float | None = None
    ) -> Iterator[Path]:
        """See `Engine.staged`."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with owned_folder(self.scratch, ENGINE) as folder:
            path = folder / "staged.parquet"
            with self.connect(inputs) as connection, limited(connection, limit_s):
                options = f"format parquet, row_group_size {ROW_GROUP}"
                connection.execute(f"copy ({model.sql}) to '{_quoted(path)}' ({options})", dict(parameters))
            yield path

    @contextmanager
    def session(self, inputs: Inputs) -> "Iterator[Session]":
        """See `Engine.session`."""
        with self.connect(inputs) as connection:
            yield _Session(connection)

    @contextmanager
    def connect(self, inputs: Inputs, *, alone: bool = False) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A connection with the inputs as relations. Spilled files are deleted when the block ends.

        Args:
            alone: whether to open a separate database, for statements that change global settings.
        """
        with self._database(alone) as database, database.connection.cursor() as connection:
            for name, relation in inputs.items():
                if isinstance(relation, Files):
                    connection.execute(f'create temp view "{name}" as {_select(relation)}')
                elif isinstance(relation, SqlModel):
                    connection.execute(f'create temp view "{name}" as {relation.sql}')
                elif isinstance(relation, Path):
                    rows = f"select * from read_parquet('{_quoted(relation)}')"
                    connection.execute(f'create temp view "{name}" as {rows}')
                elif callable(relation):
                    connection.register(name, relation())
                else:
                    # A table of DuckDB's own, because it can't push the filters of all joins down to Arrow tables.
                    connection.register(f"{name} in memory", relation)
                    connection.execute(f'create temp table "{name}" as select * from "{name} in memory"')
                    connection.unregister(f"{name} in memory")
            yield connection

    @contextmanager
    def _database(self, alone: bool) -> "Iterator[_Database]":
        """The database of this process. It is kept open, because opening takes longer than most statements.

        After a statement failed, spilled or took much memory, the database is closed as soon as it has no users.
        """
        process = os.getpid()  # a database's threads don't survive a fork
        with self._lock:
            database = None if alone else self._kept.get(process)
            if database is None:
                database = _Database.open(self.memory, self.threads, self.scratch)
            if not alone:
                self._kept[process] = database
            database.users += 1
        is_spent = True
        try:
            yield database
            is_spent = alone or database.has_spilled or _resident_mb() > database.opened_mb + MAX_KEPT_MB
        finally:
            with self._lock:
                database.users -= 1
                database.is_spent |= is_spent
                if database.is_spent:
                    if self._kept.get(process) is database:
                        del self._kept[process]
                    if not database.users:
                        database.close()


class _Session(Session):
    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def keep(self, model: SqlModel, parameters: Mapping[str, Any] | None = None) -> None:
        self._connection.execute(f'create temp table "{model.name}" as {model.sql}', dict(parameters or {}))

    def query(self, model: SqlModel, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
        return self._connection.execute(model.sql, dict(parameters or {})).to_arrow_table()


@dataclass
class _Database:
    """An in-memory database and its number of users."""

    connection: "duckdb.DuckDBPyConnection"
    folder: OwnedFolder
    opened_mb: int
    users: int = 0
    is_spent: bool = False

    @classmethod
    def open(cls, memory: str, threads: int, scratch: Path) -> "_Database":
        import duckdb

        scratch.mkdir(parents=True, exist_ok=True)
        folder = OwnedFolder(scratch, ENGINE)
        connection = duckdb.connect(
            config={
                "memory_limit": memory,
                "threads": threads,
                "temp_directory": str(folder.path / SPILL),
                "preserve_insertion_order": False,
                "partitioned_write_flush_threshold": ROWS_HELD,
                "partitioned_write_max_open_files": min(MAX_OPEN_FILES, max(1, _descriptors_left() // 2)),
                # Files are read once, or are in the system's page cache.
                "enable_external_file_cache": False,
                # Models read nothing but their inputs, and no extension is downloaded.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        connection.execute("set global TimeZone = 'UTC'")
        return cls(connection, folder, _resident_mb())

    @property
    def has_spilled(self) -> bool:
        return (self.folder.path / SPILL).exists()

    def close(self) -> None:
        self.connection.close()
        self.folder.remove()


def _resident_mb() -> int:
    """Resident memory of this process, in MB."""
    return psutil.Process().memory_info().rss // 2**20


def _descriptors_left() -> int:
    """How many more files this process may open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - psutil.Process().num_fds()


def _select(files: Files) -> str:
    """The statement that reads the files of an input."""
    if not files.paths:
        return (
            "select " + ", ".join(f'null::{_TYPES[c.type]} as "{c.name}"' for c in files.table.columns) + " where false"
        )
    listed = ", ".join(f"'{_quoted(path)}'" for path in files.paths)
    options, replaced = "hive_partitioning = false", ""
    if files.evolved:
        # By field id, as Iceberg reads them: columns that no file has yet are null.
        fields = ", ".join(
            f"{number}: {{name: '{column.name}', type: '{_TYPES[column.type]}', default_value: null}}"
            for number, column in enumerate(files.table.columns, start=1)
        )
        options = f"schema = map {{{fields}}}"
        defaults = [
            f'coalesce("{column.name}", {column.default}) as "{column.name}"'
            for column in files.table.columns
            if column.default
        ]
        replaced = f" replace ({', '.join(defaults)})" if defaults else ""
    return f"select *{replaced} from read_parquet([{listed}], {options})"


def _partition_keys(table: Table) -> list[str]:
    """Expressions for the table's partition key: hours or days since 1970."""
    return [
        f'epoch_us("{column}"::timestamp) // {STEP[transform] // MICROSECOND}'
        for column, transform in table.partition_by
    ]


def _quoted(path: Path | str) -> str:
    return str(path).replace("'", "''")


def _new_file(table: Table, row: tuple[Any, ...]) -> NewFile:
    """A written file, from DuckDB's row: path, rows, size, footer size, statistics by column, partition keys."""
    path, rows, size, _, statistics, keys = row
    columns = {column.name: column for column in table.columns}
    nulls: dict[str, int] = {}
    sizes: dict[str, int] = {}
    bounds: dict[str, tuple[Any, Any]] = {}
    for quoted, facts in statistics.items():
        column = columns[quoted.removeprefix('"').removesuffix('"')]
        nulls[column.name] = int(facts["null_count"])
        sizes[column.name] = int(facts["column_size_bytes"])
        if column.type in ("timestamp", "date", "long") and "min" in facts:
            bounds[column.name] = (_bound(column, facts["min"]), _bound(column, facts["max"]))
    return NewFile(path, _partition_key(table, keys), rows, size, nulls, bounds, sizes)


def _bound(column: Column, text: str) -> Any:
    """A column bound in Iceberg's units: microseconds or days since 1970, or the number itself."""
    if column.type == "timestamp":
        return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND
    if column.type == "date":
        return (date.fromisoformat(text) - EPOCH.date()).days
    return int(Decimal(text))


def _partition_key(table: Table, keys: Mapping[str, str]) -> PartitionKey:
    values = [keys[f"{column}_{transform}"] for column, transform in table.partition_by]
    return tuple(None if value in _NO_PARTITION else int(value) for value in values)
