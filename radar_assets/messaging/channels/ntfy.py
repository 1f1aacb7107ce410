"""ntfy (https://ntfy.sh)."""

from typing import Annotated, Any, Literal

from pydantic import SecretStr

from radar_assets.messaging.chat.base import HostedChat, Token
from radar_assets.messaging.message import PRIORITIES, Message
from radar_assets.messaging.secrets import Shape


class Ntfy(HostedChat):
    """A topic of ntfy.

    Attributes:
        topic: anyone who knows it can read it, so it is handled as a secret.
    """

    plugin = ("ntfy", "NotifyNtfy")
    titled = True
    type: Literal["ntfy"]
    host: str = "ntfy.sh"
    topic: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{1,64}", "topic")]
    token: Token | None = None

    def options(self, message: Message) -> dict[str, Any]:
        access = {"token": self.token.get_secret_value(), "auth": "token"} if self.token else {}
        priority = ("low", "default", "high", "max")[PRIORITIES.index(message.urgency)]
        topic = self.topic.get_secret_value()
        there = {**self.endpoint(), "targets": [topic], "mode": "private", "include_image": False}
        return {**there, **access, "priority": priority}
