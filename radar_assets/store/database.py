"""Opens the operational store: schema migrations, locks, sessions and lookups by id. Other queries belong in the layers."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from radar_assets.masking import masked
from radar_assets.store.models.base import Base, FieldError
from radar_assets.store.models.home import HomeStart
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST_SCHEMA = max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""Revision of the latest migration, which is the prefix of its file name."""
VERSION_TABLE = "radar_alembic_version"
"""Alembic's table for the schema revision. Dagster's schema in the same database uses the default name."""
PATIENCE_S = 60
"""How long a process waits for another one that writes to the same SQLite file or creates the schema."""
Row = TypeVar("Row", bound=Base)
LOCK_KEY = 0x5241444152
"""Key of the Postgres advisory lock of `startup_lock`: RADAR in ASCII."""


class StoreError(Exception):
    """The database can't be used. The message has its URL, without secrets, and the reason."""

    def __init__(self, url: sa.URL, problem: object) -> None:
        text = " ".join(str(problem).split())
        super().__init__(
            f"RADAR_DATABASE_URL={masked(url.render_as_string(hide_password=False))} can't be used: {text}"
        )


class Store:
    """The operational store, with an up-to-date schema. Thread-safe."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writers = sessionmaker(engine, expire_on_commit=False)
        self._readers = sessionmaker(engine.execution_options(read_only=True), expire_on_commit=False)

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        """A session in one transaction, which is committed when the block ends and rolled back if it raises.

        On SQLite it holds the write lock from its start, so keep it short. A `read_only` session takes no lock.
        """
        with (self._readers if read_only else self._writers).begin() as session:
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_store(url: str) -> Store:
    """Open the store and migrate its schema. Any number of processes may do so concurrently.

    Args:
        url: SQLAlchemy URL of a SQLite file or a Postgres database, such as `HomeSettings.database`.

    Raises:
        StoreError: the database is unreachable, or has the schema of a newer Radar.
    """
    engine = open_engine(url)
    # Importing Alembic takes a third of a second in each run's process, and there is almost never anything to migrate.
    if _schema_version(engine) == NEWEST_SCHEMA:
        return Store(engine)
    engine.dispose()

    from alembic import command
    from alembic.util import CommandError

    with startup_lock(url):
        engine = open_engine(url)
        is_new = _schema_version(engine) is None
        try:
            with engine.begin() as connection:
                command.upgrade(alembic_config(connection), "head")
                if is_new:
                    connection.execute(sa.insert(HomeStart).values(id=1, first_day=utc_now().date()))
        except DBAPIError as error:
            engine.dispose()
            raise StoreError(engine.url, error.orig) from error
        except CommandError as error:
            engine.dispose()
            raise StoreError(
                engine.url, f"{error}; the schema was created by a newer version, upgrade Radar"
            ) from error
    return Store(engine)


def existing_store(url: str) -> Store | None:
    """Open the store for reading, without creating or migrating it. None if there is no database yet.

    Args:
        url: as for `open_store`.
    """
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").exists():
        return None
    return Store(open_engine(address))


def _schema_version(engine: sa.Engine) -> str | None:
    """Revision of the database's schema; None if it has no schema or can't be read."""
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        return None
    with suppress(DBAPIError), engine.execution_options(read_only=True).connect() as connection:
        return connection.execute(sa.text(f"select version_num from {VERSION_TABLE}")).scalar()
    return None


def find_by_id(session: Session, model: type[Row], id: str, field: str, list_command: str) -> Row:
    """The row with an id, or the only row whose id starts with it.

    Args:
        field: name of the id, for errors.
        list_command: command that lists the rows, for errors.

    Raises:
        FieldError: the id is unknown or ambiguous.
    """
    # Not `like`, which would interpret wildcards.
    statement = sa.select(model).where(sa.func.substr(sa.inspect(model).columns["id"], 1, len(id)) == id)
    matches = session.scalars(statement.limit(2)).all()
    if len(matches) != 1 or not id:
        problem = "is ambiguous; give more characters" if len(matches) > 1 else "is unknown"
        raise FieldError(field, id, f"{problem}; {list_command} lists them")
    return matches[0]


def alembic_config(connection: sa.Connection) -> "Config":
    """Configuration with which Alembic's commands join the transaction of an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def startup_lock(url: str) -> Iterator[None]:
    """Hold the lock for creating schemas in a database, both Radar's and Dagster's.

    It is an advisory lock on Postgres and a lock file beside the database on SQLite. Both are released when the process dies.

    Raises:
        StoreError: the database is unreachable, or the lock is not free within a minute.
    """
    address = sa.make_url(url)
    with _file_lock(address) if address.get_backend_name() == "sqlite" else _advisory_lock(address):
        yield


@contextmanager
def _file_lock(url: sa.URL) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if url.database in (None, "", ":memory:"):
        raise StoreError(url, "an in-memory database can't be shared by processes; use sqlite:////an/absolute/path.db")
    lock = FileLock(f"{url.database}.lock", timeout=PATIENCE_S)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, Timeout) as error:
        raise StoreError(url, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _advisory_lock(url: sa.URL) -> Iterator[None]:
    engine = open_engine(url)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        try:
            connection = stack.enter_context(engine.begin())
            connection.exec_driver_sql(f"set local lock_timeout = '{PATIENCE_S}s'")
            # A transaction-level lock, because poolers such as PgBouncer lose session-level ones.
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({LOCK_KEY})")
        except DBAPIError as error:
            raise StoreError(url, error.orig) from error
        yield


def open_engine(url: str | sa.URL) -> sa.Engine:
    """A SQLAlchemy engine, configured for several writing processes."""
    url = sa.make_url(url)
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": PATIENCE_S})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10, "application_name": "radar"})


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver must not manage transactions, because it would run DDL outside of them.
    connection.isolation_level = None
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails at once if another process wrote in between, whatever the
    # timeout. One that takes the write lock at its start waits instead.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("begin" if read_only else "begin immediate")


def shrink(file: str | Path) -> None:
    """Rewrite a SQLite file if most of it is free, which takes as long as copying what it holds. Writers wait meanwhile."""
    with closing(sqlite3.connect(file, timeout=PATIENCE_S, isolation_level=None)) as database:
        free, pages = (database.execute(f"pragma {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        if free > pages / 2:
            database.execute("vacuum")
        # Writers wait for the checkpoint, which waits for readers.
        database.execute("pragma busy_timeout = 1000")
        database.execute("pragma wal_checkpoint(truncate)")
