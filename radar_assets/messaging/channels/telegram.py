"""Telegram."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import TELEGRAM_HTML
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape


class Telegram(Chat):
    """A chat that a Telegram bot is a member of.

    Attributes:
        chat: its number, or the @name of a channel.
        topic: number of a topic in the chat.
    """

    plugin = ("telegram", "NotifyTelegram")
    markup = TELEGRAM_HTML
    type: Literal["telegram"]
    token: Annotated[SecretStr, Shape(r"[0-9]{5,20}:[A-Za-z0-9_-]{20,60}", "token; write it as 123456:ABC...")]
    chat: str = Field(pattern=r"^(-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,40})$", coerce_numbers_to_str=True)
    topic: int | None = Field(default=None, ge=1)

    @property
    def where(self) -> str:
        return f"Telegram, {self.chat}"

    def options(self, message: Message) -> dict[str, Any]:
        chat = self.chat if self.topic is None else f"{self.chat}:{self.topic}"
        token = self.token.get_secret_value()
        return {"bot_token": token, "targets": [chat], "detect_owner": False, "preview": False, "format": "html"}
