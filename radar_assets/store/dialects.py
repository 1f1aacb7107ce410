"""What SQLite and Postgres do differently within a session: inserts that meet existing rows, and locks between writers."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert(session: Session, model: type) -> Any:
    """An insert of the session's dialect, which offers `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(model)


def lock(session: Session, key: int) -> None:
    """Hold a lock until the transaction ends, against others that ask for the same key.

    Writing transactions on SQLite exclude each other anyway; on Postgres it is an advisory lock of the transaction, since a pooler
    such as PgBouncer loses those of a session.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
