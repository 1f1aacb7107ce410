"""Tables of the collector: keys, limits, monthly usage and daily salts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("projects", sa.Column("events_per_second", sa.BigInteger))
    op.add_column("projects", sa.Column("events_per_month", sa.BigInteger))
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("origins", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("revoked_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_api_keys_project_id"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id"])
    op.create_table(
        "monthly_usage",
        sa.Column("project_id", sa.String(200), nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "month", name="pk_monthly_usage"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_monthly_usage_project_id"),
    )
    op.create_table(
        "daily_salts",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("salt", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_daily_salts"),
    )


def downgrade() -> None:
    op.drop_table("daily_salts")
    op.drop_table("monthly_usage")
    op.drop_table("api_keys")
    with op.batch_alter_table("projects") as projects:
        projects.drop_column("events_per_month")
        projects.drop_column("events_per_second")
