"""The settings of messages, and what a mail address is."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from radar_assets import urls
from radar_assets.environment import EnvironmentSettings, FormerName

MAIL_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


def _comma_separated(value: object) -> object:
    return tuple(entry.strip() for entry in value.split(",") if entry.strip()) if isinstance(value, str) else value


class MessagingSettings(EnvironmentSettings):
    """Messages: how they are sent, and to which hosts."""

    smtp_url: Annotated[SecretStr | None, AfterValidator(urls.smtp_url)] = Field(
        default=None,
        description="Mail server: smtp://user:password@host:587 for STARTTLS (?starttls=no turns it off), or smtps:// for TLS.",
    )
    smtp_from: str | None = Field(
        default=None,
        description="Sender of mails, e.g. alerts@shop.example or Shop alerts <alerts@shop.example>. Without a name, it is Radar.",
    )
    allowed_hosts: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_comma_separated), FormerName("RADAR_ALERT_ALLOWED_HOSTS")
    ] = Field(
        default=(),
        description="Hosts, addresses and networks that messages may be sent to although they are not public, separated by commas.",
    )

    deliveries_days: float = Field(
        default=90,
        ge=1,
        description="Days for which messages are kept after they were delivered, dropped or suppressed. Others are kept until then.",
    )

    @field_validator("smtp_from")
    @classmethod
    def _mail_address(cls, value: str | None) -> str | None:
        if value is None:
            return value
        from email.policy import SMTP

        header: Any = SMTP.header_factory("From", "" if re.search(r"[\x00-\x1f\x7f]", value) else value)
        groups = () if header.defects else header.groups
        addresses = [address for group in groups for address in group.addresses if group.display_name is None]
        if len(groups) != 1 or not addresses or not MAIL_ADDRESS.fullmatch(addresses[0].addr_spec):
            raise ValueError("not a mail address; use alerts@shop.example or Radar <alerts@shop.example>")
        return value
