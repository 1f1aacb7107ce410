"""Runs Radar's migrations: on the connection that `alembic_config` hands over, else on the database of the settings.

The latter serves `uv run alembic`, with which developers write migrations and operators step back.
"""

from alembic import context
from sqlalchemy import Connection

from radar_assets.settings import load_settings
from radar_assets.store.database import VERSION_TABLE, open_engine, startup_lock
from radar_assets.store.models import Base


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether models and database are compared in it: pyiceberg and Dagster keep tables in the same database."""
    return kind != "table" or name in Base.metadata.tables


def migrate(connection: Connection) -> None:
    """Run the migrations that the command asked for, in the connection's transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=is_ours,
        render_as_batch=True,  # SQLite alters a table by making it anew
        version_table=VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


if handed_over := context.config.attributes.get("connection"):
    migrate(handed_over)
else:
    url = load_settings().prepare().database
    with startup_lock(url), open_engine(url).begin() as own:
        migrate(own)
