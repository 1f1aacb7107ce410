"""Mattermost."""

from typing import Any, Literal

from radar_assets.messaging.chat.base import HostedChat, Token
from radar_assets.messaging.chat.markup import COMMONMARK
from radar_assets.messaging.message import Message


class Mattermost(HostedChat):
    """An incoming webhook of Mattermost.

    Attributes:
        token: the last part of its URL.
    """

    plugin = ("mattermost", "NotifyMattermost")
    markup = COMMONMARK
    type: Literal["mattermost"]
    token: Token

    def options(self, message: Message) -> dict[str, Any]:
        return {**self.endpoint(), "token": self.token.get_secret_value(), "user": "Radar"}
