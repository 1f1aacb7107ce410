"""Gotify."""

from typing import Any, Literal

from radar_assets.messaging.chat.base import HostedChat, Token
from radar_assets.messaging.message import PRIORITIES, Message


class Gotify(HostedChat):
    """An application of Gotify."""

    plugin = ("gotify", "NotifyGotify")
    titled = True
    type: Literal["gotify"]
    token: Token

    def options(self, message: Message) -> dict[str, Any]:
        priority = (1, 4, 7, 10)[PRIORITIES.index(message.urgency)]
        return {**self.endpoint(), "token": self.token.get_secret_value(), "priority": priority}
