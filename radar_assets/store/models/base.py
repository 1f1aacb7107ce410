"""The bases of tables, and the error for a value that the store does not take."""

from typing import Any

from sqlalchemy import JSON, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from radar_assets.errors import UsageError

MAX_NAME = 200


class FieldError(UsageError, ValueError):
    """A field has an invalid value; the message names the field and the problem."""

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(f"{field} {value!r:.80} {problem}")
        self.field = field


class Base(DeclarativeBase):
    """Base of all tables. Constraints have names, so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Declared(Base):
    """An item of a section of `radar.yaml`, as `radar apply` read it.

    Attributes:
        position: its position in the file.
        spec: its declaration, in JSON.
    """

    __abstract__ = True

    name: Mapped[str] = mapped_column(String(MAX_NAME), primary_key=True)
    position: Mapped[int] = mapped_column("place", Integer)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
