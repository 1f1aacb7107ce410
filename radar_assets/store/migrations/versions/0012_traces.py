"""The spans that caused messages."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("traceparent", sa.String(55), nullable=True))


def downgrade() -> None:
    op.execute("alter table deliveries drop column traceparent")
