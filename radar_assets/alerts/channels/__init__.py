"""The destinations of messages: a module for each kind, its models and one `send` in each.

What each is given is in `sending.py`; how and where they may connect is in `connections.py`, `addresses.py` and `http.py`. Importing
this loads none of the packages that send by HTTP, draw or read the store.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter

from radar_assets.alerts.channels import chat, email, webhook
from radar_assets.alerts.channels.chat import AnyChat
from radar_assets.alerts.channels.email import Email
from radar_assets.alerts.channels.failures import PassingError, PermanentError, SendError
from radar_assets.alerts.channels.sending import Sending, Smtp
from radar_assets.alerts.channels.webhook import Webhook
from radar_assets.alerts.messages import Message

if TYPE_CHECKING:
    from radar_assets.store.database import Store

__all__ = [
    "ChannelSpec",
    "PassingError",
    "PermanentError",
    "SendError",
    "Sending",
    "Smtp",
    "load_channels",
    "parse_channel",
    "send",
]

ChannelSpec = Annotated[Webhook | Email | AnyChat, Field(discriminator="type")]
"""What a channel may be. Whoever validates it gives `allowed_hosts` in the context, and hides inputs in errors: they hold secrets."""
_SPEC: TypeAdapter[ChannelSpec] = TypeAdapter(ChannelSpec, config=ConfigDict(hide_input_in_errors=True))
_SENDERS: Mapping[type, Any] = {
    Webhook: webhook.send,
    Email: email.send,
    **dict.fromkeys(chat.CHATS, chat.send),
}


def parse_channel(spec: Mapping[str, Any], allowed_hosts: Sequence[str] = ()) -> ChannelSpec:
    """Validate what was declared of a channel.

    Args:
        allowed_hosts: hosts and networks that may be sent to although they are not public.

    Raises:
        pydantic.ValidationError: something of it is wrong; the error shows no value.
    """
    return _SPEC.validate_python(dict(spec), context={"allowed_hosts": allowed_hosts})


def load_channels(store: "Store") -> dict[str, ChannelSpec]:
    """The channels that were applied, by name, in the order of the file.

    They were validated then; whether their hosts are still allowed is seen when something is sent.
    """
    import sqlalchemy as sa

    from radar_assets.store.models import Channel

    with store.session(read_only=True) as session:
        specs = [row.spec for row in session.scalars(sa.select(Channel).order_by(Channel.place, Channel.name))]
    channels = [_SPEC.validate_python(spec, context={"allowed_hosts": ("0.0.0.0/0", "::/0")}) for spec in specs]
    return {channel.name: channel for channel in channels}


def send(channel: ChannelSpec, message: Message, sending: Sending) -> None:
    """Send a message to a channel; done when the other side has accepted it.

    Raises:
        PassingError: it may work later.
        PermanentError: it won't, until somebody changes the channel or the other side.
    """
    _SENDERS[type(channel)](channel, message, sending)
