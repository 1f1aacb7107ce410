"""Changes of projects' time zones, by which tables know which days have other hours since they were built."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "time_zone_changes",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.String(8), nullable=False),
        sa.Column("project_id", sa.String(200), nullable=False),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_time_zone_changes_project_id_projects"),
        sa.PrimaryKeyConstraint("number", name="pk_time_zone_changes"),
    )


def downgrade() -> None:
    op.drop_table("time_zone_changes")
