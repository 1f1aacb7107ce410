"""State that collectors share: monthly usage, and the salts of visitor ids."""

from datetime import date

from sqlalchemy import BigInteger, Date, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import Base


class MonthlyUsage(Base):
    """How many events the collector has accepted for a project in a calendar month (UTC).

    Quotas are based on it. It is counted as requests are answered; exact counts are in the metrics.
    """

    __tablename__ = "monthly_usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)


class DailySalt(Base):
    """The secret behind visitor ids of a date, where a protocol has none; deleted soon, so that none can be traced."""

    __tablename__ = "daily_salts"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(64))
