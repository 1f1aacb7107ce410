"""Idempotency keys of requests that start runs: which run each of them stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("claim", sa.String(400), nullable=True),
        sa.Column("claimed_at", sa.DateTime, nullable=True),
        sa.Column("launched_at", sa.DateTime, nullable=True),
        sa.PrimaryKeyConstraint("principal_id", "key", name="pk_idempotency_keys"),
    )


def downgrade() -> None:
    op.drop_table("idempotency_keys")
