"""Opsgenie."""

import json
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from radar_assets.messaging.channel import Transport
from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import PLAIN, fitting
from radar_assets.messaging.message import PRIORITIES, Message
from radar_assets.messaging.secrets import Shape, resolve

API = {"us": "https://api.opsgenie.com/v2/alerts", "eu": "https://api.eu.opsgenie.com/v2/alerts"}


class Opsgenie(Chat):
    """An API integration of Opsgenie. Each alert is one there too, which its recovery closes.

    Attributes:
        api_key: of the integration.
        region: where the account is.
        team: the team to notify. Default: that of the integration.
    """

    plugin = ("opsgenie", "NotifyOpsgenie")
    titled = True
    is_separate: ClassVar[bool] = True
    type: Literal["opsgenie"]
    api_key: Annotated[SecretStr, Shape(r"[A-Za-z0-9-]{20,60}", "API key")]
    region: Literal["us", "eu"] = "us"
    team: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{2,100}$")

    def options(self, message: Message) -> dict[str, Any]:
        return {
            "apikey": self.api_key.get_secret_value(),
            "targets": [f"#{self.team}"] if self.team else [],
            "region_name": self.region,
            "action": "new",
            "alias": _alias(message),
            "priority": f"p{len(PRIORITIES) - PRIORITIES.index(message.urgency)}",
            "tags": ["radar"],
        }

    def send(self, message: Message, transport: Transport) -> None:
        """Send a message, or close the alert that it ends.

        apprise closes only alerts that it has created in the same process, by ids that it keeps itself.
        """
        if not message.is_over:
            super().send(message, transport)
            return
        from radar_assets.messaging.transport.http import post

        resolved = resolve(self, transport.allowed_hosts)
        key = resolved.api_key.get_secret_value()
        url = f"{API[resolved.region]}/{quote(_alias(message), safe='')}/close?identifierType=alias"
        body = json.dumps({"source": "Radar", "note": fitting(PLAIN, message)})
        headers = {"Authorization": f"GenieKey {key}", "Content-Type": "application/json"}
        post(url, body.encode(), headers, transport.allowed_hosts, transport.timeout_s)


def _alias(message: Message) -> str:
    """By which Opsgenie recognises messages about the same alert."""
    return f"radar-{message.thread_id or message.id}"
