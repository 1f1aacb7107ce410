"""Tries expressions before they are used: what type they have, and whether they fail for certain.

Models are written in the DuckDB dialect whichever engine runs them, so DuckDB checks the expressions.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_SAMPLES = {"string": "'?'", "boolean": "false", "timestamp": "timestamp '2026-01-01'"}
"""Sample values by type; the sample of every other type is 1. The text can't be cast to any other type."""


class ProbeError(Exception):
    """An expression is invalid, or fails on constants. The message is the engine's, on one line."""


class Probe:
    """A database with sample rows, in memory, without access to files or the network.

    Each relation has two rows: one of sample values, and one of nulls.

    Args:
        relations: column types by relation and column.
        json_columns: text columns whose sample is an empty JSON object.
    """

    def __init__(self, relations: Mapping[str, Mapping[str, str]], json_columns: Collection[str] = ()) -> None:
        self._relations = relations
        self._json_columns = json_columns

    def type_of(self, expression: str, relation: str) -> str:
        """The type of an expression over a relation.

        Raises:
            ProbeError: it is invalid, fails on constants, or casts text to another type implicitly.
        """
        with self._run(f"select {expression} from {relation}") as cursor:
            cursor.fetchall()
            assert cursor.description is not None
            return str(cursor.description[0][1])

    def value_of(self, expression: str, relation: str | None = None) -> Any:
        """The value of an expression, in the first row of a relation or without one.

        Raises:
            ProbeError: it is invalid or fails.
        """
        with self._run(f"select {expression}" + (f" from {relation}" if relation else "")) as cursor:
            row = cursor.fetchone()
            return row[0] if row else None

    @contextmanager
    def _run(self, sql: str) -> "Iterator[duckdb.DuckDBPyConnection]":
        import duckdb

        try:
            yield self._connection.cursor().execute(sql)
        except duckdb.Error as error:
            raise ProbeError(str(error).split("\n")[0].split(": ", 1)[-1]) from error

    @cached_property
    def _connection(self) -> "duckdb.DuckDBPyConnection":
        import duckdb

        connection = duckdb.connect(config={"enable_external_access": False, "threads": 1})
        for relation, columns in self._relations.items():
            row = ", ".join(f'cast({self._sample(name, kind)} as {kind}) as "{name}"' for name, kind in columns.items())
            nulls = ", ".join(["null"] * len(columns))
            connection.execute(f"create table {relation} as select {row}")
            connection.execute(f"insert into {relation} values ({nulls})")
        connection.execute("set lock_configuration = true")
        return connection

    def _sample(self, column: str, kind: str) -> str:
        return "'{}'" if column in self._json_columns else _SAMPLES.get(kind, "1")
