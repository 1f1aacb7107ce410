"""Webhooks, signed as Standard Webhooks says (https://www.standardwebhooks.com).

The body is `Body`; its JSON schema is `webhook.schema.json` beside this module, for those who receive it.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from radar_assets.alerts import messages
from radar_assets.alerts.channels.addresses import AllowedHosts, check_host
from radar_assets.alerts.channels.secrets import Shape, is_reference, resolve
from radar_assets.alerts.channels.sending import Destination, Sending
from radar_assets.alerts.messages import Message, Notice, Reason
from radar_assets.alerts.rules import Kind, Operator, Severity, WindowName


class Alert(BaseModel):
    """One announcement of one alert."""

    model_config = ConfigDict(extra="forbid", title="Alert")

    id: str = Field(description="Of the alert; the same in all that is said of it.")
    reason: Reason = Field(description="`test` is what somebody sent to try the channel.")
    headline: str = Field(description="What happened, in one line for people.")
    rule: str
    description: str = Field(description="What the rule says of itself; may be empty.")
    kind: Kind
    severity: Severity
    project_id: str | None = Field(description="null for alerts of the platform itself.")
    project_name: str | None
    subject: str | None = Field(description="Of the platform's alerts: a partition or a run, say.")
    text: str | None = Field(description="Of the platform's alerts: what happened.")
    metric: str | None
    metric_title: str | None
    unit: str | None = Field(description="What the value counts; `ratio` is a share from 0 to 1.")
    window: WindowName = Field(description="How long the stretch is that each value is of.")
    started_at: AwareDatetime = Field(description="Start of the first window that broke the rule, in UTC.")
    window_start: AwareDatetime = Field(description="Start of the latest window that broke it.")
    window_end: AwareDatetime = Field(description="End of that window.")
    ended_at: AwareDatetime | None = Field(description="When it was over; null while it lasts.")
    value: float | None = Field(description="Of the latest window that broke the rule; null where there was none.")
    operator: Operator
    against: Literal["previous", "same_weekday"] = Field(
        description="For `change_pct`, which window is compared with: the one before, or the one a week before."
    )
    threshold: float = Field(description="For `change_pct`, in percent.")
    baseline: float | None = Field(description="For `change_pct`, value of the compared window.")
    usual_low: float | None = Field(description="Lowest value of the same hour and weekday in the four weeks before.")
    usual_high: float | None = Field(description="Highest value, likewise.")
    check_url: str | None = Field(description="The rule's check in the UI.")

    @classmethod
    def of(cls, notice: Notice) -> "Alert":
        """The announcement of a notice."""
        low, high = notice.usual or (None, None)
        is_metric = notice.metric is not None
        return cls(
            id=notice.alert_id,
            reason=notice.reason,
            headline=messages.describe(notice).headline,
            rule=notice.rule,
            description=notice.description,
            kind=notice.kind,
            severity=notice.severity,
            project_id=notice.project_id or None,
            project_name=notice.project_name or None,
            subject=None if is_metric else notice.subject,
            text=None if is_metric else notice.text,
            metric=notice.metric,
            metric_title=notice.metric_title,
            unit=notice.unit,
            window=notice.window,
            started_at=_utc(notice.started_at),
            window_start=_utc(notice.window_start),
            window_end=_utc(notice.window_end),
            ended_at=_utc(notice.ended_at) if notice.ended_at else None,
            value=notice.value,
            operator=notice.operator,
            against=notice.against,
            threshold=notice.threshold,
            baseline=notice.baseline,
            usual_low=low,
            usual_high=high,
            check_url=notice.check_url,
        )


class Data(BaseModel):
    """What a message tells."""

    model_config = ConfigDict(extra="forbid", title="Data")

    alerts: list[Alert] = Field(min_length=1, description="One, or several in a digest.")


class Body(BaseModel):
    """Body of a webhook of Radar. The header `webhook-id` is the same at every attempt to send it."""

    model_config = ConfigDict(extra="forbid", title="Radar webhook")

    type: Literal["alert.fired", "alert.still_firing", "alert.recovered", "alert.test", "alerts.digest"]
    timestamp: AwareDatetime = Field(description="When the message was made, in UTC.")
    data: Data

    @classmethod
    def of(cls, message: Message) -> "Body":
        """The body of a message."""
        first, *others = message.notices
        kind = "alerts.digest" if others else f"alert.{first.reason}"
        alerts = [Alert.of(notice) for notice in message.notices]
        return cls(type=kind, timestamp=_utc(message.created_at), data=Data(alerts=alerts))  # pyright: ignore[reportArgumentType]


def schema() -> dict[str, Any]:
    """The JSON schema of `Body`, as `webhook.schema.json` has it."""
    address = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": address, **Body.model_json_schema(mode="serialization")}


def check_url(url: str, allowed: AllowedHosts) -> None:
    """Refuse a URL that can't be sent to.

    Raises:
        ValueError: it is none, says more than an address, or its host is refused.
    """
    if "\\" in url:
        raise ValueError("has a backslash, which some take for a slash")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("is no URL of HTTP; write https://...")
    if "@" in parts.netloc:
        raise ValueError("has a user in it; write it as a header")
    if parts.fragment or "#" in url:
        raise ValueError("has a fragment, which is never sent")
    host = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::(\d{1,5}))?", parts.netloc)
    if not host or not 0 < int(host[2] or 1) < 65536:
        raise ValueError("has no host and port that can be connected to")
    check_host(host[1], allowed, plain=parts.scheme == "http")


class Webhook(Destination):
    """An HTTP endpoint of the team's own.

    Attributes:
        url: it may hold a secret, so only its host is ever shown.
        secrets: keys that messages are signed with, all of them: to change one, have the old and the new for a while.
        headers: further headers of each request, such as Authorization.
    """

    type: Literal["webhook"]
    url: Annotated[SecretStr, Shape(r"[!-~]{1,2000}", "URL; percent-encode what is not plain ASCII")]
    secrets: tuple[Annotated[SecretStr, Shape(r"whsec_[A-Za-z0-9+/]+=*", "key; write it as whsec_...")], ...] = Field(
        min_length=1, max_length=5
    )
    headers: dict[str, Annotated[SecretStr, Shape(r"[\x20-\x7e]{1,4000}", "header in plain ASCII")]] = Field(
        default={}, max_length=20
    )

    @property
    def where(self) -> str:
        url = self.url.get_secret_value()
        return url if url.startswith("env:") else urlsplit(url).hostname or ""

    @field_validator("url")
    @classmethod
    def _may_be_sent_to(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if not is_reference(url, info.context):
            check_url(url.get_secret_value(), AllowedHosts((info.context or {}).get("allowed_hosts", ())))
        return url

    @field_validator("secrets")
    @classmethod
    def _are_keys(cls, secrets: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        for key in secrets:
            if not is_reference(key, info.context):
                encoded = key.get_secret_value().removeprefix("whsec_").rstrip("=")
                if len(encoded) % 4 == 1 or not 24 <= len(encoded) * 3 // 4 <= 64:
                    raise ValueError("has a key that is not 24 to 64 bytes in base64")
        return secrets

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, Any]) -> dict[str, Any]:
        for name in headers:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
                raise ValueError(f"{name!r:.80} is no name for a header")
            if re.match(r"(webhook-|content-|host$|transfer-|connection$|upgrade$|te$|trailer$|expect$)", name.lower()):
                raise ValueError(f"the header {name:.80} is for Radar to set")
        return headers


def send(channel: Webhook, message: Message, sending: Sending) -> None:
    """Post a message.

    Raises:
        SendError: it was not accepted.
    """
    from standardwebhooks import Webhook as Signature

    from radar_assets.alerts.channels.http import post

    resolved = resolve(channel, sending.allowed_hosts)
    body = Body.of(message).model_dump_json()
    now = datetime.now(UTC)
    headers = {name: value.get_secret_value() for name, value in resolved.headers.items()} | {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Signature(key.get_secret_value()).sign(message.id, now, body) for key in resolved.secrets
        ),
    }
    post(resolved.url.get_secret_value(), body.encode(), headers, sending.allowed_hosts, sending.timeout_s)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
