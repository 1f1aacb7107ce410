"""Stop signals for commands that run until they are stopped."""

import signal
import time
from types import FrameType

LOOK_S = 0.1


class StopSignals:
    """Records SIGINT, SIGTERM and SIGHUP from its creation on.

    The handler only sets a flag. An exception from a handler, such as Python's own KeyboardInterrupt, can get lost: Python drops
    exceptions in weakref callbacks and `__del__`, which run at any moment.

    Attributes:
        received: a signal has arrived.
        insisted: a SIGINT has arrived after another signal: the second Ctrl-C of an impatient person.
    """

    def __init__(self, *, handles_second: bool = False) -> None:
        """
        Args:
            handles_second: the command checks `insisted`. By default a second SIGINT raises KeyboardInterrupt.
        """
        self.received = self.insisted = False
        self._handles_second = handles_second
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP, and that must stay. Shells ignore SIGINT in the background of a script, but children would too.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._record)

    def wait(self, seconds: float) -> bool:
        """Sleep until a signal arrives, for at most this long. Returns whether one has."""
        until = time.monotonic() + seconds
        while not self.received and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
        return self.received

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self.insisted = self.insisted or (self.received and number == signal.SIGINT)
        self.received = True
        if number == signal.SIGINT and not self._handles_second:
            signal.signal(signal.SIGINT, signal.default_int_handler)
