"""Webhooks, signed as Standard Webhooks specifies (https://www.standardwebhooks.com)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from radar_assets import tracing
from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.message import Message
from radar_assets.messaging.secrets import Shape, is_reference, resolve
from radar_assets.messaging.transport.addresses import AllowedHosts, check_host

Event = Literal["run.completed", "run.failed"]
"""What webhooks may subscribe to."""


class Body(BaseModel):
    """Body of a webhook of Radar. The header `webhook-id` is the same at every attempt to send it.

    Layers publish the schema of theirs as a subclass that narrows `type` and `data`.
    """

    model_config = ConfigDict(extra="forbid")

    type: str
    timestamp: AwareDatetime = Field(description="When the message was made, in UTC.")
    data: Any

    @classmethod
    def of(cls, message: Message) -> "Body":
        """The body of a message."""
        at = message.created_at
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return cls(type=message.kind, timestamp=at, data=message.payload)


def check_url(url: str, allowed: AllowedHosts) -> None:
    """Refuse a URL that messages can't be sent to.

    Raises:
        ValueError: it is not a plain HTTP URL, or its host is refused.
    """
    if "\\" in url:
        raise ValueError("contains a backslash, which some clients read as a slash")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("is not an HTTP URL; write https://...")
    if "@" in parts.netloc:
        raise ValueError("contains a user; use the header Authorization instead")
    if parts.fragment or "#" in url:
        raise ValueError("contains a fragment, which is never sent")
    host = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::(\d{1,5}))?", parts.netloc)
    if not host or not 0 < int(host[2] or 1) < 65536:
        raise ValueError("has an invalid host or port")
    check_host(host[1], allowed, plain=parts.scheme == "http")


class Webhook(ChannelSpec):
    """An HTTP endpoint of the team.

    Attributes:
        url: may contain a secret, so only its host is ever shown.
        secrets: every message is signed with each of these keys; to rotate a key, declare the old and the new one for a while.
        headers: additional request headers, such as Authorization.
        events: what it gets besides the alerts of rules that name it; `run.failed` includes canceled runs.
    """

    type: Literal["webhook"]
    url: Annotated[SecretStr, Shape(r"[!-~]{1,2000}", "URL; percent-encode everything but plain ASCII")]
    secrets: tuple[Annotated[SecretStr, Shape(r"whsec_[A-Za-z0-9+/]+=*", "key; write it as whsec_...")], ...] = Field(
        min_length=1, max_length=5
    )
    headers: dict[str, Annotated[SecretStr, Shape(r"[\x20-\x7e]{1,4000}", "header in plain ASCII")]] = Field(
        default={}, max_length=20
    )
    events: tuple[Event, ...] = ()

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
                    raise ValueError("contains a key that is not 24 to 64 bytes in base64")
        return secrets

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, Any]) -> dict[str, Any]:
        for name in headers:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
                raise ValueError(f"invalid header name {name!r:.80}")
            if re.match(r"(webhook-|content-|host$|transfer-|connection$|upgrade$|te$|trailer$|expect$)", name.lower()):
                raise ValueError(f"the header {name:.80} is set by Radar")
        return headers

    def send(self, message: Message, transport: Transport) -> None:
        """Post a message."""
        from standardwebhooks import Webhook as Signature

        from radar_assets.messaging.transport.http import post

        resolved = resolve(self, transport.allowed_hosts)
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
        if parent := tracing.traceparent():
            headers[tracing.HEADER] = parent
        post(resolved.url.get_secret_value(), body.encode(), headers, transport.allowed_hosts, transport.timeout_s)
