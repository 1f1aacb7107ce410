"""Google Chat."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import GOOGLE
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape


class GoogleChat(Chat):
    """A webhook of a space of Google Chat.

    Attributes:
        space: the part of its URL after `/spaces/`.
        key, token: its query parameters.
    """

    plugin = ("google_chat", "NotifyGoogleChat")
    markup = GOOGLE
    type: Literal["google_chat"]
    space: str = Field(pattern=r"^[A-Za-z0-9_-]{4,60}$")
    key: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{8,100}", "key")]
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9_=-]{8,200}", "token")]

    def options(self, message: Message) -> dict[str, Any]:
        key, token = self.key.get_secret_value(), self.token.get_secret_value()
        return {"workspace": self.space, "webhook_key": key, "webhook_token": token}
