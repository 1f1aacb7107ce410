"""The suppression list: mail addresses that get nothing, or nothing of an unsubscribe group. Enforced where mail leaves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from radar_assets.messaging.settings import MAIL_ADDRESS
from radar_assets.store.database import Store
from radar_assets.store.models import FieldError, Suppression

Reason = Literal["bounced", "unsubscribed", "complained"]
EVERYTHING = ""
"""The group of addresses that get no mail at all."""
MAX_GROUP = 64


def suppress(store: Store, address: str, reason: Reason, now: datetime, group: str = EVERYTHING) -> None:
    """Send nothing more to an address, or nothing more of a group.

    Raises:
        FieldError: it is not a mail address, or the name of the group is too long.
    """
    if not MAIL_ADDRESS.fullmatch(address) or len(address) > 254:
        raise FieldError("address", address, "is not a mail address; e.g. ann@shop.example")
    if len(group) > MAX_GROUP:
        raise FieldError("group", group, f"is longer than {MAX_GROUP} characters")
    with store.session() as session:
        session.merge(Suppression(address=_key(address), group=group, reason=reason, at=now))


def allow(store: Store, address: str, group: str = EVERYTHING) -> bool:
    """Send to an address again. Returns whether it was suppressed."""
    with store.session() as session:
        row = session.get(Suppression, (_key(address), group))
        if row is not None:
            session.delete(row)
        return row is not None


def suppressed(store: Store, addresses: Sequence[str], group: str) -> set[str]:
    """Those of some addresses that get nothing of a group."""
    keys = {address: _key(address) for address in addresses}
    with store.session(read_only=True) as session:
        rows = session.scalars(
            sa.select(Suppression.address).where(
                Suppression.address.in_(sorted(set(keys.values()))), Suppression.group.in_((EVERYTHING, group))
            )
        )
        listed = set(rows)
    return {address for address, key in keys.items() if key in listed}


def suppressions(store: Store) -> list[Suppression]:
    """The whole list, by address."""
    with store.session(read_only=True) as session:
        return list(session.scalars(sa.select(Suppression).order_by(Suppression.address, Suppression.group)))


def _key(address: str) -> str:
    """Addresses are compared without case: servers that distinguish `Ann@` and `ann@` are practically extinct."""
    return address.lower()
