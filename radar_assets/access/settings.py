"""The settings of limits, and of logins elsewhere: at an OpenID provider or a proxy."""

import json
import re
from collections.abc import Iterable
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from radar_assets import urls
from radar_assets.access.roles import Grants, Role
from radar_assets.environment import EnvironmentSettings, SettingsError

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


class LimitSettings(EnvironmentSettings):
    """Limits: how many events projects without limits of their own may send."""

    events_per_second: int | None = Field(
        default=None,
        ge=1,
        description="Maximum events per second for each project without a limit of its own. Default: unlimited.",
    )
    events_per_month: int | None = Field(
        default=None,
        ge=1,
        description="Maximum events per calendar month (UTC) for each project without a limit of its own. Default: unlimited.",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(urls.redis_url)] = Field(
        default=None,
        description="Redis server on which workers share their counts for events_per_second. Default: each worker counts for itself.",
    )


def _comma_separated(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _grants(value: object) -> object:
    """The roles of groups, from JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('must be JSON such as {"staff": "viewer", "shop-team": "operator:shop"}')
    for granted in value.values():
        Grants.parse(granted)
    return value


def _issuer(url: str | None) -> str | None:
    if url and urlsplit(url).scheme == "http" and urlsplit(url).hostname not in urls.LOOPBACK_HOSTS:
        raise ValueError("must be https, because whoever changes its answers can log in as anyone")
    return url


def _header(name: str | None) -> str | None:
    if name is not None and not _HEADER.fullmatch(name):
        raise ValueError("is not the name of a header; use e.g. X-Forwarded-User")
    return name


def _networks(values: Iterable[str]) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            # Without the value, which may be a URL with a password that was meant for another setting.
            raise ValueError("not addresses or networks; use e.g. 10.0.0.5 or 10.0.0.0/24") from None
    return tuple(values)


class LoginSettings(EnvironmentSettings):
    """Logins elsewhere: an OpenID provider or a proxy that knows who people are."""

    oidc_issuer: Annotated[str | None, urls.shown_url("https", "http"), AfterValidator(_issuer)] = Field(
        default=None,
        description="OpenID provider whose users can log in, as it names itself, e.g. https://id.shop.example. Needs the extra oidc, "
        "RADAR_OIDC_CLIENT_ID and RADAR_UI_URL. The redirect URI is <RADAR_UI_URL>/login/oidc/callback. Default: none.",
    )
    oidc_client_id: str | None = Field(default=None, description="Id of Radar at the OpenID provider.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Secret of Radar at the OpenID provider. Default: none, for public clients."
    )
    oidc_client_secret_file: Path | None = Field(
        default=None, description="File with that secret, instead of RADAR_OIDC_CLIENT_SECRET."
    )
    oidc_name: str = Field(
        default="single sign-on", max_length=100, description="Name of the OpenID provider on the login page."
    )
    oidc_scopes: str = Field(default="openid profile email", description="Scopes that Radar asks the provider for.")
    oidc_name_claim: str = Field(
        default="preferred_username",
        description="Claim with the login name of new users. If it is missing, their e-mail is used.",
    )
    oidc_groups_claim: str = Field(default="groups", description="Claim with the groups of RADAR_LOGIN_ROLES.")
    oidc_domains: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        default=(),
        description="Domains of the verified e-mail addresses that may log in, separated by commas. "
        "Default: all of the provider's users.",
    )
    login_roles: Annotated[dict[str, str], NoDecode, BeforeValidator(_grants)] = Field(
        default={},
        description='Roles of the groups of the provider or the proxy, as JSON: {"staff": "viewer", "shop-team": "operator:shop"}. '
        "After a colon are the projects that the role is for, separated by commas. Of several roles, the highest counts.",
    )
    login_default_role: Role | None = Field(
        default=None,
        description="Role of people whose groups have none: viewer, operator or admin. Default: they can't log in.",
    )
    ui_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated), AfterValidator(_networks)] = (
        Field(
            default=(),
            description="Reverse proxies in front of radar serve: addresses or networks, separated by commas. Only their "
            "X-Forwarded-For and RADAR_UI_USER_HEADER are believed. Default: none.",
        )
    )
    ui_proxy_secret: SecretStr | None = Field(
        default=None,
        description="Secret that these proxies send as X-Radar-Proxy-Secret. If it is set, proxies without it are not believed.",
    )
    ui_user_header: Annotated[str | None, AfterValidator(_header)] = Field(
        default=None,
        description="Header with the login name of whom the proxy has logged in, e.g. Remote-User. Requests that have it and "
        "don't come from such a proxy are refused. Default: none.",
    )
    ui_groups_header: Annotated[str | None, AfterValidator(_header)] = Field(
        default=None, description="Header with their groups, separated by commas, e.g. Remote-Groups."
    )

    @field_validator("ui_proxy_secret", "oidc_client_secret")
    @classmethod
    def _not_short(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 8:
            raise ValueError("must have at least 8 characters")
        return value

    @cached_property
    def grants(self) -> Grants:
        """The roles of groups."""
        return Grants(self.login_roles, self.login_default_role)

    @cached_property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the proxies."""
        return tuple(ip_network(each) for each in self.ui_proxies)

    def client_secret(self) -> str | None:
        """The secret of Radar at the OpenID provider.

        Raises:
            SettingsError: its file can't be read.
        """
        if self.oidc_client_secret:
            return self.oidc_client_secret.get_secret_value()
        if self.oidc_client_secret_file is None:
            return None
        try:
            return self.oidc_client_secret_file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise SettingsError(
                f"RADAR_OIDC_CLIENT_SECRET_FILE: can't read {self.oidc_client_secret_file}: {reason}"
            ) from error
