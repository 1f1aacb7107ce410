"""What the API remembers of requests."""

from datetime import datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import MAX_NAME, Base


class IdempotencyKey(Base):
    """The run that a request with an Idempotency-Key stands for. Its id is chosen before the run exists.

    Attributes:
        principal_id: whose key it is.
        fingerprint: hash of the request; another request must not have the same key.
        claim: the process that is launching the run.
        launched_at: when the run was queued.
    """

    __tablename__ = "idempotency_keys"

    principal_id: Mapped[str] = mapped_column(String(MAX_NAME), primary_key=True)
    key: Mapped[str] = mapped_column(String(MAX_NAME), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    claim: Mapped[str | None] = mapped_column(String(400))
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime)
    launched_at: Mapped[datetime | None] = mapped_column(DateTime)
