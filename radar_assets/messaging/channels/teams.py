"""Microsoft Teams."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import ADAPTIVE_CARD
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape
from radar_assets.messaging.transport.addresses import AllowedHosts, check_host


class Teams(Chat):
    """A workflow of Microsoft Teams, started by a webhook.

    Attributes:
        host: of its URL, such as prod-01.westeurope.logic.azure.com.
        workflow: the part of the URL after `/workflows/`.
        signature: the query parameter `sig`.
    """

    plugin = ("workflows", "NotifyWorkflows")
    markup = ADAPTIVE_CARD
    type: Literal["teams"]
    host: str
    workflow: str = Field(pattern=r"^[A-Za-z0-9-]{8,80}$")
    signature: Annotated[SecretStr, Shape(r"[A-Za-z0-9_-]{8,200}", "signature")]
    power_automate: bool = False

    @field_validator("host")
    @classmethod
    def _may_be_sent_to(cls, host: str, info: ValidationInfo) -> str:
        check_host(host, AllowedHosts((info.context or {}).get("allowed_hosts", ())))
        return host

    def options(self, message: Message) -> dict[str, Any]:
        return {
            "host": self.host,
            "workflow": self.workflow,
            "signature": self.signature.get_secret_value(),
            "power_automate": self.power_automate,
            "include_image": False,
        }
