"""The steps of an alert's escalation that have been sent."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("alerts", sa.Column("escalation", sa.JSON, nullable=True))


def downgrade() -> None:
    op.execute("alter table alerts drop column escalation")
