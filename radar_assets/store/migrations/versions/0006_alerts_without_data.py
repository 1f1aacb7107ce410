"""States of alerts whose metric has no value any more, and the five-minute windows that wait to be judged."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _resize_state(24)
    op.add_column("alerts", sa.Column("no_data_since", sa.DateTime))
    op.add_column("alerts", sa.Column("no_data_announced_at", sa.DateTime))
    op.create_table(
        "waiting_windows",
        sa.Column("start", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("start", name="pk_waiting_windows"),
    )


def downgrade() -> None:
    op.drop_table("waiting_windows")
    # The earlier schema has only these two states.
    op.execute("update alerts set state = 'firing' where state = 'no_data'")
    op.execute("update alerts set state = 'resolved' where state = 'ended_without_data'")
    op.execute("alter table alerts drop column no_data_announced_at")
    op.execute("alter table alerts drop column no_data_since")
    _resize_state(8)


def _resize_state(length: int) -> None:
    """Replace the column by one of another length.

    Not in a batch: SQLite would recreate the table, and dropping the old one deletes the windows of all alerts, which refer to it.
    """
    op.drop_index("ix_alerts_state", "alerts")
    op.add_column("alerts", sa.Column("resized", sa.String(length), nullable=False, server_default="firing"))
    op.execute("update alerts set resized = state")
    op.execute("alter table alerts drop column state")
    op.execute("alter table alerts rename column resized to state")
    op.create_index("ix_alerts_state", "alerts", ["state"])
