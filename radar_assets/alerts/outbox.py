"""The outbox: what is to be sent, who is sending it, and what became of it. How it is sent is in `deliverer.py`.

Each row is sent at least once, always under the same id: whoever sends it holds a lease, and when a lease runs out, because its
holder died, the row is sent again. That a message arrived and the note of it was lost can't be told from that it didn't arrive.
"""

import random
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from radar_assets.alerts.messages import Message
from radar_assets.alerts.rules import SEVERITIES
from radar_assets.store.database import Store
from radar_assets.store.models import Delivery, FieldError

MOST_IN_FLIGHT = 50
"""Messages that are being sent at once, by all processes together."""
MOST_SINGLE = 5
"""When more wait for a channel, they become one message."""
LEASE = timedelta(seconds=120)
"""How long others leave a row alone that is being sent: longer than any attempt, and how late the messages of a killed process are."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=20), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=36)
"""Age at which what still fails is given up: over a night and a day on which somebody can mend the channel."""
MOST_ATTEMPTS = 100
"""For what ends its process each time and so never has a result; pauses keep others below it."""
KEPT_FOR = timedelta(days=90)
"""How long what arrived or was dropped is kept. What was given up stays until somebody sends it again or drops it."""
MOST_TOGETHER = 500
TOGETHER = "together:"
"""How the keys of those rows begin that gather what is over the limit of an hour; those of others begin with the alert's id."""
DIGEST = "digest:"
LOCK_KEY = 0x4F5554424F58
"""Postgres advisory lock of those who claim, or put off what others may claim: OUTBOX in ASCII."""


@dataclass(frozen=True)
class Claim:
    """A row that this process may send.

    Attributes:
        lease: tells this claim from any other of the row.
    """

    channel: str
    message: Message
    attempt: int
    lease: str


def new_delivery(
    channel: str,
    key: str,
    severity: str,
    topic: str,
    notices: Sequence[dict[str, Any]],
    created_at: datetime,
    not_before: datetime | None = None,
) -> Delivery:
    """A message that waits to be sent."""
    return Delivery(
        id=str(uuid.uuid4()),
        channel=channel,
        dedupe_key=key,
        severity=severity,
        topic=topic,
        notices=list(notices),
        state="pending",
        attempts=0,
        created_at=created_at,
        next_attempt_at=not_before or created_at,
    )


def due_channels(store: Store, now: datetime) -> list[str]:
    """The channels that something can be sent to now, the one that has waited longest first."""
    with store.session(read_only=True) as session:
        return list(
            session.scalars(
                sa.select(Delivery.channel)
                .where(_is_due(now))
                .group_by(Delivery.channel)
                .order_by(sa.func.min(Delivery.next_attempt_at), Delivery.channel)
            )
        )


def due_rows(store: Store, now: datetime) -> list[tuple[str, int]]:
    """Ids of all rows that can be sent now, and how often each was tried."""
    with store.session(read_only=True) as session:
        found = session.execute(sa.select(Delivery.id, Delivery.attempts).where(_is_due(now)))
        return sorted((id, attempts) for id, attempts in found)


def claim(store: Store, channel: str, now: datetime, lease: timedelta = LEASE) -> Claim | None:
    """Take the next message of a channel; None when there is none, or as many as may be are being sent.

    Messages of one alert are taken in their order. When many wait, those that nobody has tried to send yet become one.
    """
    with store.session() as session:
        # One after the other, for the count of those under way to hold. Rows that are locked are being added to, and can wait.
        _lock(session)
        in_flight = sa.select(sa.func.count()).where(Delivery.state == "pending", Delivery.leased_until > now)
        if (session.scalar(in_flight) or 0) >= MOST_IN_FLIGHT:
            return None
        waiting = (
            sa.select(Delivery)
            .where(_is_due(now), Delivery.channel == channel)
            .order_by(Delivery.next_attempt_at, Delivery.created_at, Delivery.id)
            .with_for_update(skip_locked=True)
        )
        while row := session.scalars(waiting.limit(1)).first():
            if row.attempts < MOST_ATTEMPTS:
                break
            row.state, row.error = "dead", f"given up after {row.attempts} attempts; the last one had no result"
        else:
            return None
        if row.attempts == 0:
            rows = session.scalars(waiting.where(Delivery.attempts == 0).limit(MOST_TOGETHER)).all()
            if len(rows) > MOST_SINGLE:
                row = _digest(session, rows, now)
        row.attempts += 1
        holder = str(uuid.uuid4())
        row.leased_until, row.leased_by = now + lease, holder
        # Should the process die, others of the channel come first: what killed it may be this message.
        row.next_attempt_at = now + lease
        message = Message.model_validate({"id": row.id, "created_at": row.created_at, "notices": row.notices})
        return Claim(channel, message, row.attempts, holder)


def delivered(store: Store, claim: Claim, now: datetime) -> None:
    """Note that a message arrived, also where the lease has run out in the meantime."""
    with store.session() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == claim.message.id, Delivery.state.in_(("pending", "dead")))
            .values(state="delivered", delivered_at=now, error=None, leased_until=None, leased_by=None)
        )


def failed(
    store: Store,
    claim: Claim,
    error: str,
    now: datetime,
    *,
    is_permanent: bool = False,
    retry_after: timedelta | None = None,
) -> bool:
    """Note that sending failed, unless somebody else has taken the row since.

    Args:
        error: why, without any secret.
        is_permanent: whether trying again is of no use.
        retry_after: what the other side asked to wait; the other messages of the channel wait as long.

    Returns:
        Whether the message is given up.
    """
    with store.session() as session:
        # Two that were asked to wait by one channel would each wait for the row that the other holds.
        _lock(session)
        held = sa.select(Delivery).where(Delivery.id == claim.message.id, Delivery.leased_by == claim.lease)
        row = session.scalar(held.with_for_update())
        if row is None or row.state != "pending":
            return False
        row.leased_until = row.leased_by = None
        row.error = error.replace("\0", "")
        next_attempt_at = now + max(pause(row.attempts), retry_after or timedelta(0))
        is_dead = is_permanent or row.attempts >= MOST_ATTEMPTS or next_attempt_at > row.created_at + GIVE_UP_AFTER
        if is_dead:
            row.state = "dead"
        else:
            row.next_attempt_at = next_attempt_at
        if retry_after:
            session.execute(
                sa.update(Delivery)
                .where(
                    Delivery.channel == row.channel,
                    Delivery.state == "pending",
                    Delivery.id != row.id,
                    Delivery.next_attempt_at < now + retry_after,
                )
                .values(next_attempt_at=now + retry_after)
            )
        return is_dead


def pause(attempts: int) -> timedelta:
    """How long to wait after that many attempts: twice as long each time, and not all that failed together at once again."""
    longest = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1)


def drop_without_channel(store: Store, channels: Collection[str]) -> int:
    """Drop what waits for channels that are not among these, since they are gone; how many there were."""
    with store.session() as session:
        gone = sa.and_(Delivery.state == "pending", Delivery.channel.not_in(sorted(channels)))
        if session.scalar(sa.select(sa.exists().where(gone))):
            values = {"state": "dropped", "error": "the channel is no longer declared", "leased_until": None}
            return session.execute(sa.update(Delivery).where(gone).values(**values)).rowcount  # pyright: ignore
        return 0


def remove_old(store: Store, now: datetime) -> None:
    """Remove what is done with and older than `KEPT_FOR`."""
    with store.session() as session:
        old = sa.and_(Delivery.created_at < now - KEPT_FOR, Delivery.state.in_(("delivered", "dropped")))
        session.execute(sa.delete(Delivery).where(old))


def retry(store: Store, delivery_id: str, now: datetime) -> Delivery:
    """Send again what was given up or dropped, under the same id.

    Once it is older than `GIVE_UP_AFTER`, it has this one attempt.

    Args:
        delivery_id: its id, or as much of the id's start as tells it from others.

    Raises:
        FieldError: there is no such delivery, or it was neither.
    """
    with store.session() as session:
        row = _find(session, delivery_id)
        if row.state not in ("dead", "dropped"):
            raise FieldError("delivery id", delivery_id, f"is {row.state}; only what is dead or dropped is sent again")
        # An attempt stays in the count, so that it keeps its id and joins no digest.
        row.state, row.attempts, row.next_attempt_at = "pending", 1, now
        return row


def drop(store: Store, delivery_id: str) -> Delivery:
    """Give up a delivery for good, which ends the complaint about it.

    Raises:
        FieldError: there is no such delivery, or it has arrived.
    """
    with store.session() as session:
        row = _find(session, delivery_id)
        if row.state == "delivered":
            raise FieldError("delivery id", delivery_id, "has been delivered")
        row.state, row.error = "dropped", row.error or "dropped by hand"
        return row


def latest(store: Store, states: Collection[str] = (), limit: int = 100) -> list[Delivery]:
    """Deliveries in these states (any, unless given), the newest first."""
    found = sa.select(Delivery).order_by(Delivery.created_at.desc(), Delivery.id).limit(limit)
    if states:
        found = found.where(Delivery.state.in_(sorted(states)))
    with store.session(read_only=True) as session:
        return list(session.scalars(found))


def count_waiting(store: Store) -> int:
    """How many deliveries wait to be sent, or are being sent."""
    with store.session(read_only=True) as session:
        return session.scalar(sa.select(sa.func.count()).where(Delivery.state == "pending")) or 0


def _lock(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    """Rows that can be sent: their time has come, nobody is sending them, and none of the same alert waits for another attempt."""
    waiting = sa.select(Delivery.channel, _alert_of(Delivery.dedupe_key)).where(
        Delivery.state == "pending",
        sa.or_(Delivery.attempts > 0, Delivery.next_attempt_at > now),
        sa.not_(Delivery.dedupe_key.startswith(TOGETHER)),
    )
    return sa.and_(
        Delivery.state == "pending",
        Delivery.next_attempt_at <= now,
        sa.or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now),
        sa.or_(
            Delivery.attempts > 0,
            sa.tuple_(Delivery.channel, _alert_of(Delivery.dedupe_key)).not_in(waiting.correlate(None)),
        ),
    )


def _alert_of(key: Any) -> sa.ColumnElement[str]:
    return sa.func.substr(key, 1, 36)


def _digest(session: Session, rows: Sequence[Delivery], now: datetime) -> Delivery:
    """One message of several, which are dropped for it."""
    severity = max((row.severity for row in rows), key=SEVERITIES.index)
    told = [notice for row in rows for notice in row.notices]
    digest = new_delivery(rows[0].channel, f"{DIGEST}{uuid.uuid4()}", severity, DIGEST, told, rows[0].created_at, now)
    for row in rows:
        row.state, row.error = "dropped", f"part of {digest.id}"
    session.add(digest)
    return digest


def _find(session: Session, delivery_id: str) -> Delivery:
    matches = session.scalars(
        sa.select(Delivery).where(sa.func.substr(Delivery.id, 1, len(delivery_id)) == delivery_id).limit(2)
    ).all()
    if len(matches) != 1 or not delivery_id:
        problem = "fits more than one; write more of it" if len(matches) > 1 else "is unknown"
        raise FieldError("delivery id", delivery_id, f"{problem}; radar deliveries shows them")
    return matches[0]
