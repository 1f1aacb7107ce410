"""Projects, and the keys that requests identify them by."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from sqlalchemy import JSON, BigInteger, Date, DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, validates

from radar_assets.calendar import zone_names
from radar_assets.store.models.base import MAX_NAME, Base, FieldError
from radar_assets.windows import utc_now


class Project(Base):
    """A product whose events Radar collects.

    Args:
        id: what senders call it, 1 to 200 characters, any but NUL.
        name: what people call it; the id by default.
        timezone: IANA name of the project's time zone, whose days are those of the daily tables.
        created_at: when it was added; a naive time is UTC.
        is_active: whether events are accepted.
        events_per_second: how many the collector accepts; the setting's value by default.
        events_per_month: the same for a calendar month in UTC.

    Raises:
        FieldError: a value is invalid.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(MAX_NAME), primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_NAME))
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
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
            raise FieldError(label, value, f"must be a text of 1 to {MAX_NAME} characters")
        # Postgres keeps no NUL, and no database keeps half a surrogate pair.
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise FieldError(label, value, "must not hold a NUL character or a lone surrogate")
        return value

    @validates("timezone")
    def _is_time_zone(self, _field: str, value: object) -> str:
        if not isinstance(value, str) or value not in zone_names():
            raise FieldError("project timezone", value, "is not an IANA time zone; e.g. Europe/Berlin")
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


class TimeZoneChange(Base):
    """A change of a project's time zone, which is never removed.

    Attributes:
        number: their order.
        id: identifies the change in the files of tables; other than the number, it doesn't occur again after a restore.
        first_day: the first day in the new zone; `date.min` for all days.
        changed_at: naive, UTC.
    """

    __tablename__ = "time_zone_changes"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(8))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    first_day: Mapped[date] = mapped_column(Date)
    previous: Mapped[str] = mapped_column(String(64))
    timezone: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(DateTime)


class ApiKey(Base):
    """A key that identifies the project of a request, for writing events (`write`) or for reading live numbers (`read`).

    Attributes:
        id: what people call it; not a secret.
        hash: SHA-256 of the key, in hexadecimal. The key itself is not stored.
        origins: web origins it is restricted to, such as `https://shop.example`; empty for any sender.
        revoked_at: naive, UTC; invalid from then on.
        expires_at: the same for a key that was rotated: the end of the overlap with its successor.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    origins: Mapped[Sequence[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime)
