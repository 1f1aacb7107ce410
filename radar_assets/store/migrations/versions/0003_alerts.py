"""Tables of alerts: rules, channels, alerts, breaches and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in ("alert_rules", "channels"):
        op.create_table(
            table,
            sa.Column("name", sa.String(200), nullable=False),
            sa.Column("place", sa.Integer, nullable=False),
            sa.Column("spec", sa.JSON, nullable=False),
            sa.PrimaryKeyConstraint("name", name=f"pk_{table}"),
        )
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("rule", sa.String(200), nullable=False),
        sa.Column("project_id", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("fired_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("announced_at", sa.DateTime),
        sa.Column("renotified_at", sa.DateTime),
        sa.Column("covered_from", sa.DateTime),
        sa.Column("covered_until", sa.DateTime),
        sa.Column("recovered_at", sa.DateTime),
        sa.Column("acknowledged_at", sa.DateTime),
        sa.Column("acknowledged_by", sa.String(200)),
        sa.Column("snoozed_until", sa.DateTime),
        sa.Column("resolved_at", sa.DateTime),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint("rule", "project_id", "subject", "started_at", name="uq_alerts_key"),
    )
    op.create_index("ix_alerts_state", "alerts", ["state"])
    op.create_index("ix_alerts_updated_at", "alerts", ["updated_at"])
    op.create_table(
        "alert_breaches",
        sa.Column("alert_id", sa.String(36), nullable=False),
        sa.Column("window_start", sa.DateTime, nullable=False),
        sa.Column("window_end", sa.DateTime, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "window_start", name="pk_alert_breaches"),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_alert_breaches_alert_id", ondelete="CASCADE"),
    )
    op.create_index("ix_alert_breaches_window_start", "alert_breaches", ["window_start"])
    op.create_table(
        "alert_hours",
        sa.Column("hour", sa.DateTime, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_alert_hours"),
    )
    op.create_index("ix_alert_hours_version", "alert_hours", ["version"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("channel", sa.String(200), nullable=False),
        sa.Column("dedupe_key", sa.String(300), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("topic", sa.String(230), nullable=False),
        sa.Column("notices", sa.JSON, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime, nullable=False),
        sa.Column("leased_until", sa.DateTime),
        sa.Column("leased_by", sa.String(36)),
        sa.Column("delivered_at", sa.DateTime),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("channel", "dedupe_key", name="uq_deliveries_key"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_deliveries_topic", "deliveries", ["topic", "created_at"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])


def downgrade() -> None:
    for table in ("deliveries", "alert_hours", "alert_breaches", "alerts", "channels", "alert_rules"):
        op.drop_table(table)
