"""The tables of the operational store, and the rules that a row has to keep.

A table belongs here as a declarative class together with a migration that makes it; queries belong to `database.py`.
"""

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from radar_assets.windows import utc_now

LONGEST_NAME = 200


class FieldError(ValueError):
    """A field has a value that the store doesn't take; the message names the field and what is wanted."""

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(f"{field} {value!r:.80} {problem}")
        self.field = field


class Base(DeclarativeBase):
    """Base of all tables. Constraints get names, so that a migration can drop them again."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Project(Base):
    """A product whose events Radar takes in.

    Args:
        id: what senders call it, 1 to 200 characters; it is data and may hold any of them but NUL.
        name: what people call it; the id, unless given.
        timezone: IANA name of the time zone that its people live in. Tables stay in UTC.
        created_at: when it was added; a naive time is UTC.
        is_active: whether events are taken in.
        events_per_second: how many are taken in by the collector; the setting's number, unless given.
        events_per_month: likewise, in a calendar month in UTC.

    Raises:
        FieldError: a value is not as described.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    timezone: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    is_active: Mapped[bool]
    events_per_second: Mapped[int | None] = mapped_column(BigInteger)
    events_per_month: Mapped[int | None] = mapped_column(BigInteger)

    def __init__(
        self,
        id: str,
        name: str | None = None,
        timezone: str = "UTC",
        created_at: datetime | None = None,
        is_active: bool = True,
        events_per_second: int | None = None,
        events_per_month: int | None = None,
    ) -> None:
        super().__init__(
            id=id,
            name=id if name is None else name,
            timezone=timezone,
            created_at=utc_now() if created_at is None else created_at,
            is_active=is_active,
            events_per_second=events_per_second,
            events_per_month=events_per_month,
        )

    @validates("id", "name")
    def _is_text(self, field: str, value: object) -> str:
        label = f"project {field}"
        if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
            raise FieldError(label, value, f"must be a text of 1 to {LONGEST_NAME} characters")
        # Postgres keeps no NUL, and no database keeps half a surrogate pair.
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise FieldError(label, value, "must not hold a NUL character or a lone surrogate")
        return value

    @validates("timezone")
    def _is_time_zone(self, _field: str, value: object) -> str:
        if not isinstance(value, str) or value not in zoneinfo.available_timezones():
            raise FieldError("project timezone", value, "is no IANA time zone; write one such as Europe/Berlin")
        return value

    @validates("created_at")
    def _in_utc(self, _field: str, value: object) -> datetime:
        if not isinstance(value, datetime):
            raise FieldError("project created_at", value, "must be a time")
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value

    @validates("is_active")
    def _is_bool(self, _field: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise FieldError("project is_active", value, "must be true or false")
        return value

    @validates("events_per_second", "events_per_month")
    def _is_limit(self, field: str, value: object) -> int | None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**63):
            raise FieldError(f"project {field}", value, "must be a whole number above zero, or none")
        return value


class ApiKey(Base):
    """A key by which the collector knows whose events a request brings (`write`), or who may look at them (`read`).

    Attributes:
        id: what people call it; no secret.
        hash: SHA-256 of the key, in hexadecimal. The key itself is kept nowhere.
        origins: the web origins that it is for, such as `https://shop.example`; empty for any sender.
        revoked_at: naive, UTC; from then on it opens nothing.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    origins: Mapped[Sequence[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime)


class MonthlyUsage(Base):
    """How many events the collector has taken in for a project in a calendar month (UTC).

    It is what quotas go by, counted as requests are answered; what was counted once in the end is in the metrics.
    """

    __tablename__ = "monthly_usage"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)


class DailySalt(Base):
    """The secret with which a day's visitor ids are made where a protocol has none; gone soon after, so that none is traced back."""

    __tablename__ = "daily_salts"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(64))


class AlertRule(Base):
    """A rule as `radar apply` took it from `radar.yaml`.

    Attributes:
        place: its place in the file, which is the order in which rules are listed.
        spec: what the file says of it, as `alerts.rules.Rule` validated it.
    """

    __tablename__ = "alert_rules"

    name: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)


class Channel(Base):
    """A destination of alerts as `radar apply` took it from `radar.yaml`, its secrets as they are written there.

    Attributes:
        spec: what the file says of it, as the channel's model in `alerts.channels` validated it.
    """

    __tablename__ = "channels"

    name: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    place: Mapped[int] = mapped_column(Integer)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)


class Alert(Base):
    """Consecutive windows in which a project broke a rule. Times are naive, UTC.

    Attributes:
        id: UUID; it stays while late data move the start or the end.
        project_id: empty where the alert is about the platform itself, such as a failed run.
        kind, severity: those of the rule when it last fired.
        subject: what the platform's alerts tell apart, such as a partition or a run; empty for those of projects.
        started_at: start of the first window that broke the rule; with rule, project and subject it is the alert's key.
        fired_at: start of the first window at which the rule had been broken for long enough.
        ended_at: end of the last such window so far.
        state: `firing` or `resolved`.
        details: the numbers of its latest window, for messages (`alerts.findings.Breach`).
        announced_at: when the first announcement was put into the outbox; None for what was only recorded.
        renotified_at: when it was last announced.
        covered_from, covered_until: the stretch of windows that people were told of, also where it has since turned out
            that some of them broke no rule; None for what was only recorded. No window of it is announced again.
        recovered_at: when its end was announced; None again once it fires on.
        acknowledged_at, acknowledged_by, snoozed_until: what people said about it.
        resolved_at: when it was found that it had ended.
        updated_at: when anything of it last changed.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("rule", "project_id", "subject", "started_at", name="uq_alerts_key"),
        Index("ix_alerts_state", "state"),
        Index("ix_alerts_updated_at", "updated_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    rule: Mapped[str] = mapped_column(String(LONGEST_NAME))
    project_id: Mapped[str] = mapped_column(String(LONGEST_NAME))
    subject: Mapped[str] = mapped_column(String(LONGEST_NAME), default="")
    kind: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[datetime] = mapped_column(DateTime)
    fired_at: Mapped[datetime] = mapped_column(DateTime)
    ended_at: Mapped[datetime] = mapped_column(DateTime)
    state: Mapped[str] = mapped_column(String(8))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    announced_at: Mapped[datetime | None] = mapped_column(DateTime)
    renotified_at: Mapped[datetime | None] = mapped_column(DateTime)
    covered_from: Mapped[datetime | None] = mapped_column(DateTime)
    covered_until: Mapped[datetime | None] = mapped_column(DateTime)
    recovered_at: Mapped[datetime | None] = mapped_column(DateTime)
    acknowledged_at: Mapped[datetime | None] = mapped_column(DateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(LONGEST_NAME))
    snoozed_until: Mapped[datetime | None] = mapped_column(DateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime)
    updated_at: Mapped[datetime] = mapped_column(DateTime)


class AlertBreach(Base):
    """A window of an alert: the value that broke the rule. Times are naive, UTC.

    Attributes:
        value: None where there should have been one.
    """

    __tablename__ = "alert_breaches"
    __table_args__ = (Index("ix_alert_breaches_window_start", "window_start"),)

    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    window_end: Mapped[datetime] = mapped_column(DateTime)
    value: Mapped[float | None] = mapped_column(Double)
    threshold: Mapped[float] = mapped_column(Double)


class AlertHour(Base):
    """An hour (UTC) in which alerts fired, and when they last changed, by which the table `alerts` is known to be stale.

    Attributes:
        version: counts up with each change of any alert; deleted ones leave no other trace.
    """

    __tablename__ = "alert_hours"

    hour: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, index=True)


class Delivery(Base):
    """One message for one channel: a row of the outbox, kept with what became of it. Times are naive, UTC.

    Attributes:
        id: UUID; the message's id at the channel, the same at every attempt.
        dedupe_key: what is announced, such as an alert's id and the reason; unique within the channel.
        topic: kind, severity and project; so many announcements of one are sent an hour, the rest together.
        notices: what the message tells, as `alerts.messages.Notice`; several make a digest.
        state: `pending`, `delivered`, `dead` (given up) or `dropped` (became part of a digest, or the channel is gone).
        attempts: how often sending was begun.
        next_attempt_at: not before then.
        leased_until, leased_by: who is sending it, and how long others leave it alone.
        error: why the last attempt failed, without any secret.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("channel", "dedupe_key", name="uq_deliveries_key"),
        Index("ix_deliveries_due", "state", "next_attempt_at"),
        Index("ix_deliveries_topic", "topic", "created_at"),
        Index("ix_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    channel: Mapped[str] = mapped_column(String(LONGEST_NAME))
    dedupe_key: Mapped[str] = mapped_column(String(300))
    severity: Mapped[str] = mapped_column(String(8))
    topic: Mapped[str] = mapped_column(String(230))
    notices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(9))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(DateTime)
    leased_until: Mapped[datetime | None] = mapped_column(DateTime)
    leased_by: Mapped[str | None] = mapped_column(String(36))
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime)
    error: Mapped[str | None] = mapped_column(Text)
