"""The audit log: entries in a chain of hashes, its head, and signed checkpoints in place of expired entries."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import Base


class AuditEntry(Base):
    """Who did what. Entries are never changed.

    Attributes:
        number: from 1, without gaps.
        at: naive, UTC.
        details: JSON, as it was hashed.
        previous: hash of the entry before; empty for the first one.
        hash: SHA-256 over all other fields.
    """

    __tablename__ = "audit_entries"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime, index=True)
    principal_kind: Mapped[str] = mapped_column(Text)
    principal_id: Mapped[str] = mapped_column(Text)
    principal_name: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    object: Mapped[str] = mapped_column(Text)
    project_id: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str] = mapped_column(Text)
    details: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHead(Base):
    """Number and hash of the last entry, so that entries missing at the end are noticed. One row, with id 1."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


class AuditCheckpoint(Base):
    """States that all entries up to a number have expired.

    Attributes:
        number: of the last expired entry.
        hash: of the last expired entry.
        previous: signature of the checkpoint before; empty for the first one.
        signature: HMAC-SHA-256 over all other fields.
    """

    __tablename__ = "audit_checkpoints"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(DateTime)
    previous: Mapped[str] = mapped_column(String(64))
    signature: Mapped[str] = mapped_column(String(64))
