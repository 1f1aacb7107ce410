"""The base of all channels, and what they send with. Each kind of channel is a module of `channels/`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from radar_assets.messaging.message import Message, Priority
from radar_assets.messaging.settings import MessagingSettings


@dataclass(frozen=True)
class Smtp:
    """The mail server of the settings.

    Attributes:
        url: `smtp://user:password@host:port`, with STARTTLS, or `smtps://`; None if not set.
        sender: address that mails come from.
    """

    url: SecretStr | None = None
    sender: str | None = None


def _none_suppressed(addresses: Sequence[str], group: str) -> set[str]:
    return set()


@dataclass(frozen=True)
class Transport:
    """What channels send with.

    Attributes:
        allowed_hosts: hosts and networks that may be sent to although they are not public.
        timeout_s: limit for one message in all, however slowly the other side answers.
        suppressed: which of some mail addresses get nothing of an unsubscribe group.
    """

    allowed_hosts: Sequence[str] = ()
    smtp: Smtp = Smtp()
    timeout_s: float = 15
    suppressed: Callable[[Sequence[str], str], set[str]] = _none_suppressed

    @classmethod
    def of(
        cls, settings: MessagingSettings, suppressed: Callable[[Sequence[str], str], set[str]] = _none_suppressed
    ) -> "Transport":
        """The transport that the settings describe."""
        return cls(settings.allowed_hosts, Smtp(settings.smtp_url, settings.smtp_from), suppressed=suppressed)


class ChannelSpec(BaseModel):
    """A channel as it is declared. Subclasses add a literal `type` and the fields of their kind.

    Validation takes `allowed_hosts` from the context. Errors hide the input, which may contain secrets.

    Attributes:
        min_priority: messages below it are not put into the outbox for such a channel.
        is_separate: whether each alert has an incident of its own there, so that messages are never merged into a digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    min_priority: ClassVar[Priority] = "low"
    is_separate: ClassVar[bool] = False

    name: str

    @classmethod
    def type_name(cls) -> str:
        """The value of `type`."""
        return get_args(cls.model_fields["type"].annotation)[0]

    @property
    def where(self) -> str:
        """The destination, without secrets."""
        raise NotImplementedError

    def missing_setting(self, settings: MessagingSettings) -> str | None:
        """Why nothing can be sent with these settings; None if it can."""
        return None

    def send(self, message: Message, transport: Transport) -> None:
        """Send a message; returns when the other side has accepted it.

        Raises:
            TemporaryError: it may work later.
            PermanentError: it won't until the channel or the other side is changed.
            SuppressedError: every recipient is on the suppression list.
        """
        raise NotImplementedError

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name) or len(name) > 60:
            raise ValueError(f"invalid channel name {name!r:.80}; use lower case and hyphens, e.g. product-team")
        return name
