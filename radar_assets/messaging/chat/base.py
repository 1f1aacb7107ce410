"""The base of chats. Each is a few typed fields, none of which can change where a request goes or what else it says."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr, ValidationInfo, model_validator

from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.chat.markup import PLAIN, Markup, fitting
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape, hidden, resolve
from radar_assets.messaging.transport.addresses import AllowedHosts, check_host

Token = Annotated[SecretStr, Shape(r"[A-Za-z0-9._~+=-]{8,400}", "token")]


class Chat(ChannelSpec):
    """A chat that apprise can send to.

    Attributes:
        plugin: apprise's module and class.
        markup: how it marks text.
        titled: whether it shows a title above the text.
    """

    plugin: ClassVar[tuple[str, str]]
    markup: ClassVar[Markup] = PLAIN
    titled: ClassVar[bool] = False

    @property
    def where(self) -> str:
        return str(getattr(self, "host", type(self).__name__))

    def options(self, message: Message) -> dict[str, Any]:
        """Arguments of apprise's class."""
        raise NotImplementedError

    def text(self, message: Message) -> str:
        """What is sent."""
        return fitting(self.markup, message)

    def send(self, message: Message, transport: Transport) -> None:
        """Send a message."""
        from radar_assets.messaging.chat.through_apprise import Notification, send

        resolved = resolve(self, transport.allowed_hosts)
        notification = Notification(
            plugin=self.plugin,
            options=resolved.options(message),
            title=self.markup.escape(message.subject) if self.titled else "",
            text=resolved.text(message),
            urgency=message.urgency,
            is_good=message.is_good,
            secrets=tuple(hidden(resolved)),
        )
        send(notification, transport)


class HostedChat(Chat):
    """A chat on a host of the team.

    Attributes:
        tls: false only for hosts that RADAR_ALLOWED_HOSTS allows.
    """

    host: str
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = True

    @model_validator(mode="after")
    def _may_be_sent_to(self, info: ValidationInfo) -> "HostedChat":
        check_host(self.host, AllowedHosts((info.context or {}).get("allowed_hosts", ())), plain=not self.tls)
        return self

    def endpoint(self) -> dict[str, Any]:
        """The arguments that say where the chat is."""
        return {"host": self.host, "port": self.port, "secure": self.tls}
