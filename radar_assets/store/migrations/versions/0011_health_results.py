"""Results of the health checks of the platform."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "health_results",
        sa.Column("component", sa.String(200), primary_key=True),
        sa.Column("checked_at", sa.DateTime, primary_key=True),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("free_bytes", sa.BigInteger),
    )
    op.create_index("ix_health_results_checked_at", "health_results", ["checked_at"])


def downgrade() -> None:
    op.drop_table("health_results")
