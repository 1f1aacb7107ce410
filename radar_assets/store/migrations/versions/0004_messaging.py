"""Messaging: deliveries of any layer's contents, found by their thread, and the suppression list."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("severity", new_column_name="priority")
        deliveries.alter_column("notices", new_column_name="contents")
        deliveries.alter_column("state", type_=sa.String(16), existing_type=sa.String(9), existing_nullable=False)
        deliveries.add_column(sa.Column("kind", sa.String(32), nullable=False, server_default="alert"))
        deliveries.add_column(sa.Column("thread_id", sa.String(100)))
    # Keys began with the alert's id, except those of rows about several alerts.
    op.execute(
        """
        update deliveries set thread_id = 'alert-' || substr(dedupe_key, 1, 36)
        where dedupe_key not like 'together:%' and dedupe_key not like 'digest:%'
        """
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("kind", server_default=None, existing_type=sa.String(32), existing_nullable=False)
        deliveries.create_index("ix_deliveries_thread_id", ["thread_id"])
    op.create_table(
        "suppressions",
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("unsubscribe_group", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("suppressed_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("address", "unsubscribe_group", name="pk_suppressions"),
    )


def downgrade() -> None:
    op.drop_table("suppressions")
    # The earlier schema has alerts only, and no suppression.
    op.execute("delete from deliveries where kind <> 'alert'")
    op.execute("update deliveries set state = 'dropped' where state = 'suppressed'")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.drop_index("ix_deliveries_thread_id")
        deliveries.drop_column("thread_id")
        deliveries.drop_column("kind")
        deliveries.alter_column("state", type_=sa.String(9), existing_type=sa.String(16), existing_nullable=False)
        deliveries.alter_column("contents", new_column_name="notices")
        deliveries.alter_column("priority", new_column_name="severity")
