"""Results of the health checks of the platform."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import Base


class HealthResult(Base):
    """What a health check of a component found.

    Attributes:
        component: such as `database`, or `url shop`.
        checked_at: when the check began; naive, UTC.
        ok: whether the component did what it is for.
        latency_ms: how long that took.
        detail: what was found, or what is wrong, without secrets.
        free_bytes: of disks, by which their future is estimated.
    """

    __tablename__ = "health_results"
    __table_args__ = (Index("ix_health_results_checked_at", "checked_at"),)

    component: Mapped[str] = mapped_column(String(200), primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    ok: Mapped[bool] = mapped_column(Boolean)
    latency_ms: Mapped[float] = mapped_column(Double)
    detail: Mapped[str] = mapped_column(String(500))
    free_bytes: Mapped[int | None] = mapped_column(BigInteger)
