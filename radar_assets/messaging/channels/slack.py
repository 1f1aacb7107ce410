"""Slack."""

from typing import Annotated, Any, Literal

from pydantic import SecretStr

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import SLACK
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape


class Slack(Chat):
    """An incoming webhook of Slack.

    Attributes:
        token: the part of its URL after `https://hooks.slack.com/services/`.
    """

    plugin = ("slack", "NotifySlack")
    markup = SLACK
    type: Literal["slack"]
    token: Annotated[
        SecretStr, Shape(r"T[A-Z0-9]{2,30}/B[A-Z0-9]{2,30}/[A-Za-z0-9]{8,60}", "token; write it as T.../B.../...")
    ]

    def options(self, message: Message) -> dict[str, Any]:
        first, second, third = self.token.get_secret_value().split("/")
        return {"token_a": first, "token_b": second, "token_c": third, "include_image": False, "include_footer": False}
