"""Items of `radar.yaml` in the store: how they differ from those of a file, and replacing them by those."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.store.models.base import Declared


class Item(Protocol):
    """One entry of a section: a pydantic model with a name."""

    @property
    def name(self) -> str: ...

    def model_dump(self, *, mode: str = ..., by_alias: bool | None = ...) -> dict[str, Any]: ...


@dataclass(frozen=True)
class StoredAs:
    """Annotates the field of a section whose items `radar apply` stores.

    Attributes:
        noun: what an item is called.
    """

    noun: str
    table: type[Declared]


@dataclass(frozen=True)
class Change:
    """An item that was added, changed or removed; without its fields, since channels contain secrets."""

    what: str
    name: str
    how: Literal["added", "changed", "removed"]


def changes(session: Session, stored_as: StoredAs, items: Iterable[Item]) -> list[Change]:
    """How items differ from the stored ones."""
    before = {row.name: row.spec for row in session.scalars(sa.select(stored_as.table))}
    after = _specs(items)
    different = [name for name, spec in after.items() if before.get(name) != spec]
    return [
        *(Change(stored_as.noun, name, "changed" if name in before else "added") for name in different),
        *(Change(stored_as.noun, name, "removed") for name in before if name not in after),
    ]


def replace(session: Session, stored_as: StoredAs, items: Iterable[Item]) -> None:
    """Store these items instead of those that are stored."""
    session.execute(sa.delete(stored_as.table))
    rows = [
        {"name": name, "position": position, "spec": spec}
        for position, (name, spec) in enumerate(_specs(items).items())
    ]
    if rows:
        session.execute(sa.insert(stored_as.table), rows)


def stored_specs(session: Session, table: type[Declared]) -> list[dict[str, Any]]:
    """The stored items, in the order of the file."""
    return [row.spec for row in session.scalars(sa.select(table).order_by(table.position, table.name))]


def _specs(items: Iterable[Item]) -> Mapping[str, Any]:
    return {item.name: item.model_dump(mode="json", by_alias=True) for item in items}
