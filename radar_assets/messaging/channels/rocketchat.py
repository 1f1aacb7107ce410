"""Rocket.Chat."""

from typing import Annotated, Any, Literal

from pydantic import SecretStr

from radar_assets.messaging.chat.base import HostedChat
from radar_assets.messaging.chat.markup import SIMPLE
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape


class RocketChat(HostedChat):
    """An incoming webhook of Rocket.Chat.

    Attributes:
        token: the part of its URL after `/hooks/`.
    """

    plugin = ("rocketchat", "NotifyRocketChat")
    markup = SIMPLE
    type: Literal["rocketchat"]
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9]{8,60}/[A-Za-z0-9]{8,100}", "token; write it as .../...")]

    def options(self, message: Message) -> dict[str, Any]:
        return {**self.endpoint(), "webhook": self.token.get_secret_value(), "mode": "webhook", "avatar": False}
