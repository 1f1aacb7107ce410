"""The tables of the operational store, and the rules that a row has to keep.

A table belongs here as a declarative class together with a migration that makes it; queries belong to `database.py`.
"""

import zoneinfo
from datetime import UTC, datetime

from sqlalchemy import DateTime, MetaData, String
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

    Raises:
        FieldError: a value is not as described.
    """

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    timezone: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime)
    is_active: Mapped[bool]

    def __init__(
        self,
        id: str,
        name: str | None = None,
        timezone: str = "UTC",
        created_at: datetime | None = None,
        is_active: bool = True,
    ) -> None:
        super().__init__(
            id=id,
            name=id if name is None else name,
            timezone=timezone,
            created_at=utc_now() if created_at is None else created_at,
            is_active=is_active,
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
