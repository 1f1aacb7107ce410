"""Applying `radar.yaml`: replaces the rules and channels in the store by those of the file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.rules import Rule
from radar_assets.messaging.channel import ChannelSpec
from radar_assets.store.database import Store
from radar_assets.store.models import AlertRule, Channel

What = Literal["rule", "channel"]
_Section = tuple[What, type[Channel | AlertRule], Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """A rule or channel that is added, changed or removed.

    Attributes:
        differences: the fields of a rule that change, with both values; of channels only the names, since they contain secrets.
    """

    what: What
    name: str
    how: Literal["added", "changed", "removed"]
    differences: tuple[str, ...] = ()


def plan(store: Store, rules: Sequence[Rule], channels: Sequence[ChannelSpec]) -> list[Change]:
    """What `declare` would change.

    Returns:
        The differences, removals last.
    """
    with store.session(read_only=True) as session:
        return _in_order(each for section in _sections(rules, channels) for each in _changes(session, *section))


def declare(store: Store, rules: Sequence[Rule], channels: Sequence[ChannelSpec]) -> list[Change]:
    """Put rules and channels into the store, in one transaction.

    Returns:
        The differences, removals last.
    """
    changes: list[Change] = []
    with store.session() as session:
        for what, model, after in _sections(rules, channels):
            changes += _changes(session, what, model, after)
            session.execute(sa.delete(model))
            rows = [{"name": name, "place": index, "spec": spec} for index, (name, spec) in enumerate(after.items())]
            if rows:
                session.execute(sa.insert(model), rows)
    return _in_order(changes)


def _sections(rules: Sequence[Rule], channels: Sequence[ChannelSpec]) -> list[_Section]:
    """What the file declares, by name."""
    sections: list[tuple[What, type[Channel | AlertRule], Sequence[Any]]] = [
        ("channel", Channel, channels),
        ("rule", AlertRule, rules),
    ]
    return [
        (what, model, {item.name: item.model_dump(mode="json", by_alias=True) for item in items})
        for what, model, items in sections
    ]


def _changes(session: Session, what: What, model: type[Channel | AlertRule], after: Mapping[str, Any]) -> list[Change]:
    before: dict[str, Any] = {row.name: row.spec for row in session.scalars(sa.select(model))}
    changes = [Change(what, name, "added") for name in after if name not in before]
    for name, spec in after.items():
        if name in before and before[name] != spec:
            changes.append(Change(what, name, "changed", _differences(what, before[name], spec)))
    return changes + [Change(what, name, "removed") for name in before if name not in after]


def _differences(what: What, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    names = [name for name in {**after, **before} if before.get(name) != after.get(name)]
    if what == "channel":
        return tuple(names)
    return tuple(f"{name} {_shown(before.get(name))} -> {_shown(after.get(name))}" for name in names)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text:.80}" if text else '""'


def _in_order(changes: Iterable[Change]) -> list[Change]:
    return sorted(changes, key=lambda change: change.how == "removed")
