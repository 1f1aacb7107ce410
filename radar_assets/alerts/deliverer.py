"""The deliverer: one pass over the outbox, which sends what is due, each channel on its own.

A channel that hangs or fails holds up nobody else: each has a thread, and the pass ends in time whatever the threads do.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

from radar_assets.alerts import outbox
from radar_assets.alerts.channels.failures import PassingError, PermanentError
from radar_assets.alerts.messages import Message
from radar_assets.alerts.outbox import Claim
from radar_assets.store.database import Store
from radar_assets.windows import utc_now

logger = logging.getLogger(__name__)

LONGEST_PASS = timedelta(seconds=75)
"""After which a pass waits for nobody: shorter than a lease, so that what hangs is put back by the pass itself."""

Channel = TypeVar("Channel")
Send = Callable[[Channel, Message], None]
"""Sends a message to a channel; raises `PassingError` or `PermanentError`."""
Outcome = Literal["sent", "failed", "dead"]


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt.

    Attributes:
        error: why it failed; holds no secret.
    """

    channel: str
    message_id: str
    outcome: Outcome
    error: str = ""


@dataclass
class Pass:
    """What a pass did.

    Attributes:
        dropped: messages whose channel is gone.
    """

    attempts: list[Attempt] = field(default_factory=list)
    dropped: int = 0

    def count(self, outcome: Outcome) -> int:
        """How many attempts ended so."""
        return sum(attempt.outcome == outcome for attempt in self.attempts)


def deliver(
    store: Store,
    channels: Mapping[str, Channel],
    send: Send[Channel],
    *,
    longest: timedelta = LONGEST_PASS,
    lease: timedelta = outbox.LEASE,
    clock: Callable[[], datetime] = utc_now,
) -> Pass:
    """Send what is due, to as many channels at once as there are, up to `outbox.MOST_IN_FLIGHT`.

    A channel that fails in a passing way is left alone for the rest of the pass.

    Args:
        longest: when the pass ends at the latest. What is still being sent then counts as failed; if it arrives after all, it is
            noted while this process lives.
    """
    passing = _Passing(store, channels, send, lease, clock)
    dropped = outbox.drop_without_channel(store, channels)
    outbox.remove_old(store, clock())
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    due = [channel for channel in outbox.due_channels(store, clock()) if channel in channels]
    for channel in due:
        waiting.put(channel)
    # Daemons: a pool's threads would be waited for when the process ends, for as long as a channel hangs.
    threads = [
        threading.Thread(target=passing.work, args=(waiting,), name=f"deliver-{place}", daemon=True)
        for place in range(min(len(due), outbox.MOST_IN_FLIGHT))
    ]
    deadline = time.monotonic() + longest.total_seconds()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return Pass(passing.close(longest), dropped)


class _Passing(Generic[Channel]):
    """A pass under way."""

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
        self._under_way: dict[str, Claim] = {}
        self._is_over = False

    def work(self, waiting: "queue.SimpleQueue[str]") -> None:
        """Take one channel after the other until none is left."""
        while not self._is_over:
            try:
                channel = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                while self._deliver_next(channel):
                    pass
            except Exception:
                # The store, not the channel: the row's lease runs out, and the row is sent again.
                logger.exception("The outbox can't be read or written")
                return

    def _deliver_next(self, channel: str) -> bool:
        """Send the next message of a channel; whether to go on with this channel."""
        with self._lock:
            if self._is_over:
                return False
        claim = outbox.claim(self._store, channel, self._clock(), self._lease)
        if claim is None:
            return False
        with self._lock:
            self._under_way[claim.lease] = claim
        try:
            self._send(self._channels[channel], claim.message)
        except PermanentError as error:
            self._note_failure(claim, str(error), is_permanent=True)
            return True
        except PassingError as error:
            self._note_failure(claim, str(error), retry_after=error.retry_after)
            return False
        except Exception as error:
            # A fault of ours. Its text may hold anything, secrets too, so only its kind and place are kept.
            self._note_failure(claim, f"{type(error).__name__} in {_place(error)}")
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
            if self._under_way.pop(claim.lease, None):
                self._attempts.append(Attempt(claim.channel, claim.message.id, outcome, error))

    def close(self, longest: timedelta) -> list[Attempt]:
        """End the pass, and put back what is still being sent."""
        with self._lock:
            self._is_over = True
            hanging = list(self._under_way.values())
        for claim in hanging:
            self._note_failure(claim, f"no end after {longest.total_seconds():.0f} s")
        with self._lock:
            return list(self._attempts)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "an unknown place"
