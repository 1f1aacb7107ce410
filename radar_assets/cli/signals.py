"""How a command that runs until it is stopped learns that it should stop."""

import signal
import time
from types import FrameType

LOOK_S = 0.1


class StopSignals:
    """Whether SIGINT, SIGTERM or SIGHUP has arrived since this was made.

    The handler only notes it. One that raises, as Python's own of SIGINT does, may be ignored: Python drops exceptions in weakref
    callbacks and `__del__`, which run at any moment. A second SIGINT raises `KeyboardInterrupt`, for a person who won't wait.
    """

    def __init__(self, *, patient: bool = False) -> None:
        """
        Args:
            patient: a second SIGINT changes nothing.
        """
        self.received = False
        self._patient = patient
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup has SIGHUP ignored. SIGINT is in the background of a script, where children would ignore it too.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def wait(self, seconds: float) -> bool:
        """Sleep, until a signal arrives; whether one has."""
        until = time.monotonic() + seconds
        while not self.received and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
        return self.received

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = True
        if number == signal.SIGINT and not self._patient:
            signal.signal(signal.SIGINT, signal.default_int_handler)
