"""What is recorded of the home as a whole."""

from datetime import date

from sqlalchemy import Date
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import Base


class HomeStart(Base):
    """The first day of the home (UTC): the day on which it was made, or that of its oldest data. There is at most one row.

    Homes that are older than this table have no row. Their first day is RADAR_START_DATE.
    """

    __tablename__ = "home_start"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    first_day: Mapped[date] = mapped_column(Date)
