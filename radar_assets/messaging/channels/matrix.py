"""Matrix."""

from typing import Any, Literal

from pydantic import Field

from radar_assets.messaging.chat.base import HostedChat, Token
from radar_assets.messaging.message import Message


class Matrix(HostedChat):
    """A room of Matrix, unencrypted.

    Attributes:
        token: access token of the user that posts there.
        room: its id.
    """

    plugin = ("matrix.base", "NotifyMatrix")
    type: Literal["matrix"]
    token: Token
    room: str = Field(pattern=r"^![A-Za-z0-9_-]{1,60}(:[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?)?$")

    def options(self, message: Message) -> dict[str, Any]:
        there = {**self.endpoint(), "targets": [self.room], "mode": "off", "include_image": False}
        return {**there, "password": self.token.get_secret_value(), "e2ee": False, "discovery": False, "version": "3"}
