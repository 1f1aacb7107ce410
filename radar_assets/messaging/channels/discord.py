"""Discord."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import COMMONMARK
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape


class Discord(Chat):
    """A webhook of Discord.

    Attributes:
        webhook_id, token: the last two parts of its URL.
        thread: id of a thread.
    """

    plugin = ("discord", "NotifyDiscord")
    markup = COMMONMARK
    type: Literal["discord"]
    webhook_id: str = Field(pattern=r"^[0-9]{5,25}$")
    token: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{16,120}", "token")]
    thread: str | None = Field(default=None, pattern=r"^[0-9]{5,25}$")

    def options(self, message: Message) -> dict[str, Any]:
        token = self.token.get_secret_value()
        return {"webhook_id": self.webhook_id, "webhook_token": token, "thread": self.thread, "avatar": False}
