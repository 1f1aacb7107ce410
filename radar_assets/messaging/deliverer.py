"""The deliverer: one pass over the outbox, which sends what is due, each channel independently.

A channel that hangs or fails delays no other: each has its own thread, and a pass ends in time whatever its threads do.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

from radar_assets import tracing
from radar_assets.messaging import outbox
from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.failures import PermanentError, SuppressedError, TemporaryError
from radar_assets.messaging.message import Draft, Renderer
from radar_assets.messaging.outbox import Claim
from radar_assets.store.database import Store
from radar_assets.windows import utc_now

logger = logging.getLogger(__name__)

MAX_PASS = timedelta(seconds=75)
"""Limit of a pass: shorter than a lease, so that the pass itself puts back messages whose channel hangs."""

Channel = TypeVar("Channel")
Send = Callable[[Channel, Draft], None]
"""Sends a message to a channel; raises a `SendError`."""
Outcome = Literal["sent", "failed", "dead", "suppressed"]


@dataclass(frozen=True)
class Attempt:
    """The result of one attempt.

    Attributes:
        error: why it failed; contains no secret.
    """

    channel: str
    message_id: str
    outcome: Outcome
    error: str = ""


@dataclass
class PassResult:
    """What a pass did.

    Attributes:
        dropped: how many messages were dropped because their channel was removed.
    """

    attempts: list[Attempt] = field(default_factory=list)
    dropped: int = 0

    def count(self, outcome: Outcome) -> int:
        """How many attempts had this outcome."""
        return sum(attempt.outcome == outcome for attempt in self.attempts)


def rendering(renderers: Mapping[str, Renderer], transport: Transport) -> Send[ChannelSpec]:
    """Sends drafts by the renderers of their kinds."""

    def send(channel: ChannelSpec, draft: Draft) -> None:
        channel.send(renderers[draft.kind](draft), transport)

    return send


def deliver(
    store: Store,
    channels: Mapping[str, Channel],
    send: Send[Channel],
    *,
    limit: timedelta = MAX_PASS,
    lease: timedelta = outbox.LEASE,
    clock: Callable[[], datetime] = utc_now,
) -> PassResult:
    """Send what is due, to all channels at once, up to `outbox.MAX_IN_FLIGHT`.

    A channel that fails temporarily is left alone for the rest of the pass.

    Args:
        limit: of the pass. Messages that are still being sent then count as failed; one that arrives later is recorded as
            delivered if this process still lives.
    """
    running = _RunningPass(store, channels, send, lease, clock)
    dropped = outbox.drop_without_channel(store, channels)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    due = [channel for channel in outbox.due_channels(store, clock()) if channel in channels]
    for channel in due:
        waiting.put(channel)
    # Daemon threads: with a pool, the process could not exit while a channel hangs.
    threads = [
        threading.Thread(target=running.work, args=(waiting,), name=f"deliver-{index}", daemon=True)
        for index in range(min(len(due), outbox.MAX_IN_FLIGHT))
    ]
    deadline = time.monotonic() + limit.total_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return PassResult(running.close(limit), dropped)


class _RunningPass(Generic[Channel]):
    """A pass in progress."""

    def __init__(
        self,
        store: Store,
        channels: Mapping[str, Channel],
        send: Send[Channel],
        lease: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._channels, self._send, self._lease, self._clock = store, channels, send, lease, clock
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self._in_progress: dict[str, Claim] = {}
        self._is_over = False

    def work(self, waiting: "queue.SimpleQueue[str]") -> None:
        """Take channels until none is left."""
        while not self._is_over:
            try:
                channel = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                while self._deliver_next(channel):
                    pass
            except Exception:
                # The store failed, not the channel: the lease expires, and the message is sent again.
                logger.exception("The outbox could not be read or written")
                return

    def _deliver_next(self, channel: str) -> bool:
        """Send the next message of a channel. Returns whether to continue with this channel."""
        with self._lock:
            if self._is_over:
                return False
        claim = outbox.claim(self._store, channel, self._clock(), self._lease)
        if claim is None:
            return False
        with self._lock:
            self._in_progress[claim.lease] = claim
        try:
            about = {"radar.channel": channel, "radar.message_id": claim.draft.id}
            with tracing.span("deliver message", parent=claim.traceparent, kind="producer", attributes=about):
                self._send(self._channels[channel], claim.draft)
        except PermanentError as error:
            self._note_failure(claim, str(error), is_permanent=True)
            return True
        except SuppressedError as error:
            outbox.suppressed(self._store, claim, str(error))
            self._note(claim, "suppressed", str(error))
            return True
        except TemporaryError as error:
            self._note_failure(claim, str(error), retry_after=error.retry_after)
            return False
        except Exception as error:
            # A bug of ours. The text may contain secrets, so only the error's type and location are kept.
            self._note_failure(claim, f"{type(error).__name__} in {_location(error)}")
            return False
        outbox.delivered(self._store, claim, self._clock())
        self._note(claim, "sent")
        return True

    def _note_failure(
        self, claim: Claim, error: str, *, is_permanent: bool = False, retry_after: timedelta | None = None
    ) -> None:
        is_dead = outbox.failed(
            self._store, claim, error, self._clock(), is_permanent=is_permanent, retry_after=retry_after
        )
        self._note(claim, "dead" if is_dead else "failed", error)

    def _note(self, claim: Claim, outcome: Outcome, error: str = "") -> None:
        with self._lock:
            if self._in_progress.pop(claim.lease, None):
                self._attempts.append(Attempt(claim.channel, claim.draft.id, outcome, error))

    def close(self, limit: timedelta) -> list[Attempt]:
        """End the pass, and put back messages that are still being sent."""
        with self._lock:
            self._is_over = True
            hanging = list(self._in_progress.values())
        for claim in hanging:
            self._note_failure(claim, f"timed out after {limit.total_seconds():.0f} s")
        with self._lock:
            return list(self._attempts)


def _location(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "an unknown module"
