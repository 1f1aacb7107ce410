"""Channels, the outbox, and the suppression list."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from radar_assets.store.models.base import MAX_NAME, Base, Declared


class Channel(Declared):
    """A destination of messages, whose declaration is a model of `messaging.channels`; its secrets are as written in the file."""

    __tablename__ = "channels"


class Delivery(Base):
    """One message for one channel: a row of the outbox, kept with its outcome. Times are naive, UTC.

    Attributes:
        id: UUID; the message's id at the channel, the same on every attempt.
        kind: the layer whose contents these are, such as `alert`; decides how they are rendered.
        dedupe_key: what is announced, such as an alert's id and the reason; unique within the channel.
        topic: what announcements are counted by for the hourly limit.
        contents: JSON of the layer; several make a digest.
        thread_id: messages with the same one are sent in their order, and shown as a conversation.
        state: `pending`, `delivered`, `dead` (given up), `suppressed` (every recipient is on the suppression list) or `dropped`
            (became part of a digest, the channel was removed, or by hand).
        attempts: how often sending was begun.
        next_attempt_at: not before then.
        leased_until, leased_by: which process is sending it, and until when others leave it alone.
        error: why the last attempt failed, without any secret.
        traceparent: the span that caused it (`radar_assets.tracing`).
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("channel", "dedupe_key", name="uq_deliveries_key"),
        Index("ix_deliveries_due", "state", "next_attempt_at"),
        Index("ix_deliveries_topic", "topic", "created_at"),
        Index("ix_deliveries_created_at", "created_at"),
        Index("ix_deliveries_thread_id", "thread_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(MAX_NAME))
    dedupe_key: Mapped[str] = mapped_column(String(300))
    priority: Mapped[str] = mapped_column(String(8))
    topic: Mapped[str] = mapped_column(String(230))
    contents: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    thread_id: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime)
    leased_until: Mapped[datetime | None] = mapped_column(DateTime)
    leased_by: Mapped[str | None] = mapped_column(String(36))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime)
    error: Mapped[str | None] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(String(55))


class Suppression(Base):
    """A mail address that gets nothing, or nothing of an unsubscribe group.

    Attributes:
        address: in lower case.
        group: empty for all mail.
        reason: `bounced`, `unsubscribed` or `complained`.
        at: naive, UTC.
    """

    __tablename__ = "suppressions"

    address: Mapped[str] = mapped_column(String(254), primary_key=True)
    group: Mapped[str] = mapped_column("unsubscribe_group", String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column("suppressed_at", DateTime)
