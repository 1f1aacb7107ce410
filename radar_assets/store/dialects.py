"""Differences between SQLite and Postgres within a session: inserts with conflicts, and locks between writers."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert(session: Session, model: type) -> Any:
    """An insert statement that supports `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(model)


def lock(session: Session, key: int) -> None:
    """Hold the lock of a key until the transaction ends.

    On Postgres it is a transaction-level advisory lock, because poolers such as PgBouncer lose session-level ones. SQLite needs none:
    its writing transactions already exclude each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
