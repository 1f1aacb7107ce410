"""How sending fails, by what helps: waiting, a change of the channel, or nothing."""

from datetime import timedelta


class SendError(Exception):
    """A message was not sent. The text is for people and contains no secret."""


class TemporaryError(SendError):
    """Sending may work later.

    Attributes:
        retry_after: how long the other side asked to wait.
    """

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PermanentError(SendError):
    """Sending won't work until the channel or the other side is changed."""


class SuppressedError(SendError):
    """Every recipient is on the suppression list, so nothing was sent."""
