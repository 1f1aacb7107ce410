"""How sending fails, told apart by whether trying again may help."""

from datetime import timedelta


class SendError(Exception):
    """A message was not sent. The text is for people and holds no secret."""


class PassingError(SendError):
    """It may work later.

    Attributes:
        retry_after: what the other side asked to wait.
    """

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class PermanentError(SendError):
    """It won't, until somebody changes the channel or the other side."""
