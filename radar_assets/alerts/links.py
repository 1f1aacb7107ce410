"""Links in messages about alerts: to the alert's page, and signed ones that acknowledge or snooze it.

A signed link is for one alert, one action and the channel that it was sent to. Whoever has it may do that action without logging in,
as with a token, until it expires.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from radar_assets.access.key_files import read_key
from radar_assets.alerts import records
from radar_assets.store.database import Store
from radar_assets.store.models import Alert

Action = Literal["ack", "snooze"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MAX_AGE = timedelta(days=7)
SNOOZE = timedelta(hours=4)
"""How long a link silences an alert."""
PAGES = "/radar/alerts"
_PURPOSE = "radar.alerts.links"


class LinkError(Exception):
    """The link can't be used. The message says why, for the person who followed it."""


@dataclass(frozen=True)
class Grant:
    """What a signed link allows.

    Attributes:
        channel: the channel that it was sent to.
    """

    alert_id: str
    action: Action
    channel: str


@dataclass(frozen=True)
class Outcome:
    """What became of an action.

    Attributes:
        is_changed: whether this changed the alert. It doesn't if the alert has ended, or if the action has taken place already.
    """

    alert: Alert
    is_changed: bool


@dataclass(frozen=True)
class Links:
    """Makes and reads the links of one home.

    Attributes:
        ui_url: address of the UI.
        key: signs the links.
    """

    ui_url: str
    key: str

    def page(self, alert_id: str) -> str:
        """The page of an alert."""
        return f"{self.ui_url.rstrip('/')}{PAGES}/{alert_id}"

    def signed(self, alert_id: str, action: Action, channel: str) -> str:
        """A link that asks for confirmation of an action, then takes it."""
        token = _serializer(self.key).dumps([alert_id, action, channel])
        return f"{self.ui_url.rstrip('/')}{PAGES}/link/{token}"


def read_link(key: str, token: str) -> Grant:
    """What the token of a link allows.

    Raises:
        LinkError: it is invalid or has expired.
    """
    from itsdangerous import BadData, SignatureExpired

    try:
        content = _serializer(key).loads(token, max_age=int(MAX_AGE.total_seconds()))
    except SignatureExpired as error:
        raise LinkError(f"This link has expired. Links of messages work for {MAX_AGE.days} days.") from error
    except BadData as error:
        raise LinkError("This link is invalid. Copy it from the message in full.") from error
    match content:
        case [str(alert_id), "ack" | "snooze" as action, str(channel)]:
            return Grant(alert_id, action, channel)
    raise LinkError("This link is invalid. Copy it from the message in full.")


def take(store: Store, alert_id: str, action: Action, by: str, now: datetime) -> Outcome:
    """Acknowledge or snooze an alert, unless it has ended or that has been done.

    Args:
        alert_id: in full.

    Raises:
        FieldError: the alert no longer exists.
    """
    if action == "ack":
        return Outcome(*records.acknowledge_first(store, alert_id, by, now))
    return Outcome(*records.snooze_first(store, alert_id, now + SNOOZE, now))


def is_pending(alert: Alert, action: Action, now: datetime) -> bool:
    """Whether an action would still change an alert."""
    return records.can_acknowledge(alert) if action == "ack" else records.can_snooze(alert, now)


def links_of(ui_url: str | None, home: Path) -> Links | None:
    """The links of a home; None if the address of the UI is unknown."""
    return Links(ui_url, link_key(home)) if ui_url else None


def link_key(home: Path) -> str:
    """The key that signs the links of a home, created at first use."""
    return read_key(home, "links")


def _serializer(key: str):
    from itsdangerous import URLSafeTimedSerializer

    return URLSafeTimedSerializer(key, salt=_PURPOSE)
