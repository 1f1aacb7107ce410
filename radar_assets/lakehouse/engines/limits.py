"""How long a statement of DuckDB may take, and whether it failed by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer
from typing import TYPE_CHECKING

from radar_assets.lakehouse.inputs import Inputs

if TYPE_CHECKING:
    import duckdb


SHORTEST_LIMIT_S = 60
BYTES_A_SECOND = 2**20
"""Files that a statement reads in a second on the slowest of machines: twenty thousand events."""


class StatementTimeoutError(Exception):
    """A statement was interrupted because it took longer than it may."""


def time_limit_s(inputs: Inputs) -> float:
    """Seconds that a statement over some inputs may take: far more than any needs in which nothing is wrong."""
    sizes = (getattr(relation, "size_bytes", 0) for relation in inputs.values())
    return SHORTEST_LIMIT_S + sum(sizes) / BYTES_A_SECOND


def is_error_of_statement(error: BaseException) -> bool:
    """Whether the statement caused an error, through its rows, its time or its memory; not a missing file or a full disk."""
    import duckdb

    own = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.InternalError)
    return isinstance(error, (StatementTimeoutError, duckdb.OutOfMemoryException, *own))


def short_reason(error: Exception) -> str:
    """Why a statement failed, in a few words. DuckDB's own message is left out, since it contains values of rows."""
    return str(error) if isinstance(error, StatementTimeoutError) else str(error).split(":")[0].lower()


@contextmanager
def limited(connection: "duckdb.DuckDBPyConnection", limit_s: float | None) -> Iterator[None]:
    """Interrupt what runs on a connection when its time is up, which DuckDB notices between two vectors of rows."""
    import duckdb

    if limit_s is None:
        yield
        return
    expired = Event()

    def interrupt() -> None:
        expired.set()
        connection.interrupt()

    timer = Timer(limit_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        if expired.is_set():
            raise StatementTimeoutError(f"took more than {limit_s:.0f} s") from error
        raise
    finally:
        timer.cancel()
