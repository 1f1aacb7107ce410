"""Items of `radar.yaml` in the store: how they differ from those of a file, and replacing them by those."""

import json
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
        has_secrets: whether changes name only the fields, because their values may be secrets.
    """

    noun: str
    table: type[Declared]
    has_secrets: bool = False


@dataclass(frozen=True)
class Change:
    """An item that is added, changed or removed.

    Attributes:
        differences: the fields that change, with both values unless the section has secrets.
    """

    what: str
    name: str
    how: Literal["added", "changed", "removed"]
    differences: tuple[str, ...] = ()


def changes(session: Session, stored_as: StoredAs, items: Iterable[Item]) -> list[Change]:
    """How items differ from the stored ones."""
    before = {row.name: row.spec for row in session.scalars(sa.select(stored_as.table))}
    after = _specs(items)
    noun, has_secrets = stored_as.noun, stored_as.has_secrets
    changed = [name for name, spec in after.items() if name in before and before[name] != spec]
    return [
        *(Change(noun, name, "added") for name in after if name not in before),
        *(Change(noun, name, "changed", _differences(before[name], after[name], has_secrets)) for name in changed),
        *(Change(noun, name, "removed") for name in before if name not in after),
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


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], has_secrets: bool) -> tuple[str, ...]:
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    if has_secrets:
        return tuple(names)
    return tuple(f"{name} {_shown(before.get(name))} -> {_shown(after.get(name))}" for name in names)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text:.80}" if text else '""'
