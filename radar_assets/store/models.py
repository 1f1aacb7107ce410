"""The tables of the operational store, and the rules that a row has to keep.

A table belongs here as a declarative class together with a migration that makes it; queries belong to `database.py`.
"""

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, date, datetime

from sqlalchemy import JSON, BigInteger, Date, DateTime, ForeignKey, LargeBinary, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from radar_assets.partitions import utc_now

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
