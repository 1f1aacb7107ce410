"""What every channel is given beside the message, and what all their declarations share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, SecretStr, field_validator

from radar_assets.alerts.messages import History
from radar_assets.alerts.rules import Model
from radar_assets.settings import Settings


@dataclass(frozen=True)
class Smtp:
    """The mail server of the settings.

    Attributes:
        url: `smtp://user:password@host:port`, with STARTTLS, or `smtps://`; None while nobody has given one.
        sender: address that mails come from.
    """

    url: SecretStr | None = None
    sender: str | None = None


@dataclass(frozen=True)
class Sending:
    """How messages are sent.

    Attributes:
        history: values around a breach, for charts.
        allowed_hosts: hosts and networks that may be sent to although they are not public.
        timeout_s: seconds that one message may take in all, however slowly the other side answers.
    """

    history: History
    allowed_hosts: Sequence[str] = ()
    smtp: Smtp = Smtp()
    timeout_s: float = 15

    @classmethod
    def of(cls, settings: Settings, history: History) -> "Sending":
        """As the settings say."""
        return cls(history, settings.allowed_hosts, Smtp(settings.smtp_url, settings.smtp_from))


class Destination(Model):
    """Base of what is declared of a channel."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str

    @property
    def where(self) -> str:
        """Where it leads to, without what is secret of that."""
        raise NotImplementedError

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name) or len(name) > 60:
            raise ValueError(f"{name!r:.80} is no name for a channel; write it as product-team")
        return name
