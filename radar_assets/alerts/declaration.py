"""Applying `radar.yaml`: replaces the rules and channels in the store by those of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from radar_assets.alerts.rules import Rule
from radar_assets.messaging.channel import ChannelSpec
from radar_assets.store.database import Store
from radar_assets.store.models import AlertRule, Channel

What = Literal["rule", "channel"]


@dataclass(frozen=True)
class Change:
    """A rule or channel that was added, changed or removed; without its fields, since channels contain secrets."""

    what: What
    name: str
    how: Literal["added", "changed", "removed"]


def declare(store: Store, rules: Sequence[Rule], channels: Sequence[ChannelSpec]) -> list[Change]:
    """Put rules and channels into the store, in one transaction.

    Returns:
        The differences, removals last.
    """
    changes: list[Change] = []
    sections: list[tuple[What, type[Channel | AlertRule], Sequence[Any]]] = [
        ("channel", Channel, channels),
        ("rule", AlertRule, rules),
    ]
    with store.session() as session:
        for what, model, items in sections:
            before: dict[str, Any] = {row.name: row.spec for row in session.scalars(sa.select(model))}
            after: Mapping[str, Any] = {item.name: item.model_dump(mode="json", by_alias=True) for item in items}
            session.execute(sa.delete(model))
            rows = [{"name": name, "place": index, "spec": spec} for index, (name, spec) in enumerate(after.items())]
            if rows:
                session.execute(sa.insert(model), rows)
            for name, spec in after.items():
                if before.get(name) != spec:
                    changes.append(Change(what, name, "changed" if name in before else "added"))
            changes += [Change(what, name, "removed") for name in before if name not in after]
    return sorted(changes, key=lambda change: change.how == "removed")
