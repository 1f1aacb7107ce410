"""Runs Radar's migrations, on the connection that `alembic_config` passes or on the database of the settings.

The latter is for `uv run alembic`, with which developers create migrations and operators downgrade.
"""

from alembic import context
from sqlalchemy import Connection

from radar_assets.home import HomeSettings
from radar_assets.store.database import VERSION_TABLE, open_engine, startup_lock
from radar_assets.store.models import Base


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether Alembic compares an object with the models. The database also has tables of pyiceberg and Dagster."""
    return kind != "table" or name in Base.metadata.tables


def migrate(connection: Connection) -> None:
    """Run the migrations of the Alembic command in the connection's transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=is_ours,
        render_as_batch=True,  # SQLite alters tables by recreating them
        version_table=VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


if passed := context.config.attributes.get("connection"):
    migrate(passed)
else:
    url = HomeSettings.load().prepare().database
    with startup_lock(url), open_engine(url).begin() as own:
        migrate(own)
