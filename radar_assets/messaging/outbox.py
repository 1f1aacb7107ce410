"""The outbox: waiting messages, the processes that are sending them, and the outcomes. `deliverer.py` sends them.

Each row is sent at least once, always under the same id. A sender holds a lease; when it dies, the lease expires and the row is
sent again, because no one knows whether a message arrived whose sender died before it recorded the result.
"""

import random
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from radar_assets import tracing
from radar_assets.messaging.message import PRIORITIES, Draft, Priority
from radar_assets.store.database import Store, find_by_id
from radar_assets.store.dialects import lock
from radar_assets.store.models import Delivery, FieldError

MAX_IN_FLIGHT = 50
"""Messages being sent at once, by all processes together."""
MAX_SINGLE = 5
"""If more messages wait for a channel, they are merged into a digest."""
LEASE = timedelta(seconds=120)
"""How long a row belongs to the process that sends it: longer than any attempt, and the delay of a killed process's messages."""
MIN_PAUSE, MAX_PAUSE = timedelta(seconds=20), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=36)
"""Age at which a message that still fails is given up: leaves a night and a day to fix the channel."""
MAX_ATTEMPTS = 100
"""Maximum attempts, for messages that crash their process and so never have a result. The pauses keep others below it."""
MAX_MERGED = 500
TOGETHER = "together:"
"""Prefix of the keys of rows that collect what exceeds an hourly limit; they wait for the end of the hour."""
DIGEST = "digest:"
SEPARATE = "separate:"
"""Prefix of the topics of rows that are never merged into a digest."""
FINISHED = ("delivered", "dropped", "suppressed")
LOCK_KEY = 0x4F5554424F58
"""Postgres advisory lock for claiming and postponing rows: OUTBOX in ASCII."""


@dataclass(frozen=True)
class Claim:
    """A row that this process may send.

    Attributes:
        lease: distinguishes this claim from others of the row.
        traceparent: the span that caused the message.
    """

    channel: str
    draft: Draft
    attempt: int
    lease: str
    traceparent: str | None = None


def new_delivery(
    kind: str,
    channel: str,
    key: str,
    priority: Priority,
    topic: str,
    contents: Sequence[dict[str, Any]],
    created_at: datetime,
    *,
    thread_id: str | None = None,
    not_before: datetime | None = None,
    traceparent: str | None = None,
) -> Delivery:
    """A row for a message that waits to be sent.

    Args:
        traceparent: the span that caused it. Default: the one that the caller is within.
    """
    return Delivery(
        id=str(uuid.uuid4()),
        kind=kind,
        channel=channel,
        dedupe_key=key,
        priority=priority,
        topic=topic,
        contents=list(contents),
        thread_id=thread_id,
        state="pending",
        attempts=0,
        created_at=created_at,
        next_attempt_at=not_before or created_at,
        traceparent=traceparent or tracing.traceparent(),
    )


def due_channels(store: Store, now: datetime) -> list[str]:
    """The channels with a message that can be sent now, the one that has waited longest first."""
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
    """Ids of all rows that can be sent now, and their numbers of attempts."""
    with store.session(read_only=True) as session:
        due = session.execute(sa.select(Delivery.id, Delivery.attempts).where(_is_due(now)))
        return sorted((id, attempts) for id, attempts in due)


def claim(store: Store, channel: str, now: datetime, lease: timedelta = LEASE) -> Claim | None:
    """Take the next message of a channel; None if none is due, or `MAX_IN_FLIGHT` are being sent.

    Messages of a thread are taken in their order. If many wait, those of one kind that were never tried are merged.
    """
    with store.session() as session:
        # One claim at a time, so that the count holds. Rows that are locked are being added to, and can wait.
        lock(session, LOCK_KEY)
        in_flight = sa.select(sa.func.count()).where(Delivery.state == "pending", Delivery.leased_until > now)
        if (session.scalar(in_flight) or 0) >= MAX_IN_FLIGHT:
            return None
        waiting = (
            sa.select(Delivery)
            .where(_is_due(now), Delivery.channel == channel)
            .order_by(Delivery.next_attempt_at, Delivery.created_at, Delivery.id)
            .with_for_update(skip_locked=True)
        )
        while row := session.scalars(waiting.limit(1)).first():
            if row.attempts < MAX_ATTEMPTS:
                break
            row.state, row.error = "dead", f"given up after {row.attempts} attempts; the last one had no result"
        else:
            return None
        if row.attempts == 0 and not row.topic.startswith(SEPARATE):
            is_separate = Delivery.topic.startswith(SEPARATE, autoescape=True)
            untried = waiting.where(Delivery.attempts == 0, Delivery.kind == row.kind, sa.not_(is_separate))
            rows = session.scalars(untried.limit(MAX_MERGED)).all()
            if len(rows) > MAX_SINGLE:
                row = _digest(session, rows, now)
        row.attempts += 1
        holder = str(uuid.uuid4())
        row.leased_until, row.leased_by = now + lease, holder
        # If the process dies, the channel's other messages come first: this one may have killed it.
        row.next_attempt_at = now + lease
        draft = Draft(row.id, row.kind, row.contents, row.created_at, channel)
        return Claim(channel, draft, row.attempts, holder, row.traceparent)


def delivered(store: Store, claim: Claim, now: datetime) -> None:
    """Record that a message arrived, even if its lease has expired in the meantime."""
    with store.session() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == claim.draft.id, Delivery.state.in_(("pending", "dead")))
            .values(state="delivered", delivered_at=now, error=None, leased_until=None, leased_by=None)
        )


def suppressed(store: Store, claim: Claim, why: str) -> None:
    """Record that a message was not sent because its recipients get none of its kind."""
    with store.session() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == claim.draft.id, Delivery.leased_by == claim.lease, Delivery.state == "pending")
            .values(state="suppressed", error=why, leased_until=None, leased_by=None)
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
    """Record that sending failed, unless another process has claimed the row since.

    Args:
        error: the reason, without any secret.
        is_permanent: whether a retry is useless.
        retry_after: how long the other side asked to wait; this holds up all messages of the channel.

    Returns:
        Whether the message is given up.
    """
    with store.session() as session:
        # Two processes postponing the rows of one channel would wait for each other's rows.
        lock(session, LOCK_KEY)
        held = sa.select(Delivery).where(Delivery.id == claim.draft.id, Delivery.leased_by == claim.lease)
        row = session.scalar(held.with_for_update())
        if row is None or row.state != "pending":
            return False
        row.leased_until = row.leased_by = None
        row.error = error.replace("\0", "")
        next_attempt_at = now + max(pause(row.attempts), retry_after or timedelta(0))
        is_dead = is_permanent or row.attempts >= MAX_ATTEMPTS or next_attempt_at > row.created_at + GIVE_UP_AFTER
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
    """How long to wait after a number of attempts: exponential, with jitter."""
    return min(MIN_PAUSE * 2 ** min(attempts - 1, 20), MAX_PAUSE) * random.uniform(0.5, 1)


def drop_without_channel(store: Store, channels: Collection[str]) -> int:
    """Drop messages that wait for channels other than these, which were removed; returns how many."""
    with store.session() as session:
        gone = sa.and_(Delivery.state == "pending", Delivery.channel.not_in(sorted(channels)))
        if session.scalar(sa.select(sa.exists().where(gone))):
            values = {"state": "dropped", "error": "the channel is no longer declared", "leased_until": None}
            return session.execute(sa.update(Delivery).where(gone).values(**values)).rowcount  # pyright: ignore
        return 0


def remove_old(store: Store, before: datetime) -> int:
    """Remove rows made before then that are finished. Dead ones stay until they are retried or dropped. Returns how many."""
    with store.session() as session:
        old = sa.and_(Delivery.created_at < before, Delivery.state.in_(FINISHED))
        return session.execute(sa.delete(Delivery).where(old)).rowcount  # pyright: ignore[reportAttributeAccessIssue]


def retry(store: Store, delivery_id: str, now: datetime) -> Delivery:
    """Send a dead, dropped or suppressed message again, under the same id.

    A message older than `GIVE_UP_AFTER` has this one attempt.

    Args:
        delivery_id: its id, or an unambiguous start of it.

    Raises:
        FieldError: the id is unknown or ambiguous, or the message is in another state.
    """
    with store.session() as session:
        row = _find(session, delivery_id)
        if row.state not in ("dead", "dropped", "suppressed"):
            raise FieldError(
                "delivery id",
                delivery_id,
                f"is {row.state}; only dead, dropped or suppressed messages can be sent again",
            )
        # One attempt stays counted, so that the message keeps its id and joins no digest.
        row.state, row.attempts, row.next_attempt_at = "pending", 1, now
        return row


def drop(store: Store, delivery_id: str) -> Delivery:
    """Give up a message for good, so that the check stops failing because of it.

    Raises:
        FieldError: the id is unknown or ambiguous, or the message has been delivered.
    """
    with store.session() as session:
        row = _find(session, delivery_id)
        if row.state == "delivered":
            raise FieldError("delivery id", delivery_id, "has been delivered")
        row.state, row.error = "dropped", row.error or "dropped by hand"
        return row


def latest(store: Store, states: Collection[str] = (), limit: int = 100) -> list[Delivery]:
    """Deliveries in some states (default: all), the newest first."""
    query = sa.select(Delivery).order_by(Delivery.created_at.desc(), Delivery.id).limit(limit)
    if states:
        query = query.where(Delivery.state.in_(sorted(states)))
    with store.session(read_only=True) as session:
        return list(session.scalars(query))


def count_waiting(store: Store) -> int:
    """How many messages wait to be sent or are being sent."""
    with store.session(read_only=True) as session:
        return session.scalar(sa.select(sa.func.count()).where(Delivery.state == "pending")) or 0


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    """Rows that can be sent: due, not being sent, and no message of their thread waits for a retry."""
    other = aliased(Delivery)
    is_held_up = sa.exists().where(
        other.thread_id == Delivery.thread_id,
        other.channel == Delivery.channel,
        other.state == "pending",
        sa.or_(other.attempts > 0, other.next_attempt_at > now),
    )
    return sa.and_(
        Delivery.state == "pending",
        Delivery.next_attempt_at <= now,
        sa.or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now),
        sa.or_(Delivery.attempts > 0, sa.not_(is_held_up)),
    )


def _digest(session: Session, rows: Sequence[Delivery], now: datetime) -> Delivery:
    """One message in place of several, which are dropped."""
    first = rows[0]
    priority = PRIORITIES[max(PRIORITIES.index(row.priority) for row in rows)]
    contents = [content for row in rows for content in row.contents]
    digest = new_delivery(
        first.kind,
        first.channel,
        f"{DIGEST}{uuid.uuid4()}",
        priority,
        DIGEST,
        contents,
        first.created_at,
        not_before=now,
    )
    for row in rows:
        row.state, row.error = "dropped", f"part of {digest.id}"
    session.add(digest)
    return digest


def _find(session: Session, delivery_id: str) -> Delivery:
    return find_by_id(session, Delivery, delivery_id, "delivery id", "radar deliveries")
