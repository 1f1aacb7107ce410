"""PagerDuty."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import SecretStr

from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import PLAIN, fitting
from radar_assets.messaging.message import PRIORITIES, Message
from radar_assets.messaging.secrets import Shape


class PagerDuty(Chat):
    """A service of PagerDuty, by its Events API v2. Each alert is an incident there, which its recovery resolves.

    Attributes:
        routing_key: the integration key of the service.
        region: where the account is.
    """

    plugin = ("pagerduty", "NotifyPagerDuty")
    is_separate: ClassVar[bool] = True
    type: Literal["pagerduty"]
    routing_key: Annotated[SecretStr, Shape(r"[A-Za-z0-9]{32}", "routing key; it has 32 letters and digits")]
    region: Literal["us", "eu"] = "us"

    def text(self, message: Message) -> str:
        return message.subject

    def options(self, message: Message) -> dict[str, Any]:
        key = self.routing_key.get_secret_value()
        return {
            "integrationkey": key,
            # apprise requires an API key too. The Events API reads only the routing key.
            "apikey": key,
            "region_name": self.region,
            "action": "resolve" if message.is_over else "trigger",
            "dedup": f"radar-{message.thread_id or message.id}",
            "severity": ("info", "warning", "error", "critical")[PRIORITIES.index(message.urgency)],
            "source": "Radar",
            "component": message.unsubscribe_group,
            "details": {"message": fitting(PLAIN, message)},
            "include_image": False,
        }
