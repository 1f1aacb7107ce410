"""Time limits of DuckDB statements, and which errors a statement causes itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer
from typing import TYPE_CHECKING

from radar_assets.lakehouse.inputs import Inputs

if TYPE_CHECKING:
    import duckdb


SHORTEST_LIMIT_S = 60
BYTES_A_SECOND = 2**20
"""Minimum read speed, measured on the slowest supported machine: about 20,000 events per second."""


class StatementTimeoutError(Exception):
    """A statement was interrupted because it exceeded its time limit."""


def time_limit_s(inputs: Inputs) -> float:
    """Time limit of a statement over some inputs, far above what a valid statement needs."""
    sizes = (getattr(relation, "size_bytes", 0) for relation in inputs.values())
    return SHORTEST_LIMIT_S + sum(sizes) / BYTES_A_SECOND


def is_error_of_statement(error: BaseException) -> bool:
    """Whether a statement caused an error itself: by its expressions, time or memory, but not by a missing file or a full disk."""
    import duckdb

    own = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.InternalError)
    return isinstance(error, (StatementTimeoutError, duckdb.OutOfMemoryException, *own))


def short_reason(error: Exception) -> str:
    """The kind of an error. DuckDB's full message is not included, because it contains values of rows."""
    return str(error) if isinstance(error, StatementTimeoutError) else str(error).split(":")[0].lower()


@contextmanager
def limited(connection: "duckdb.DuckDBPyConnection", limit_s: float | None) -> Iterator[None]:
    """Interrupt the statement on a connection after a time limit. DuckDB checks for interrupts between two vectors of rows."""
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
