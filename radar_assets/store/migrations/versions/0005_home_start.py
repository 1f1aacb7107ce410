"""The first day of the home. Homes that exist already get no row: their partitions keep their start."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "home_start",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_home_start"),
    )


def downgrade() -> None:
    op.drop_table("home_start")
