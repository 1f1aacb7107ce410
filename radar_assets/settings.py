"""Radar's settings: one class, read from `RADAR_*` environment variables and validated at the start.

A setting belongs here when an operator changes it between deployments. What changes the meaning of a number is configuration
(`radar.yaml`) and lives with its layer.
"""

import grp
import os
import re
import tempfile
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from radar_assets import permissions, urls
from radar_assets.masking import masked
from radar_assets.object_store import ObjectPath
from radar_assets.urls import shown_url

MAIL_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


class SettingsError(Exception):
    """A setting has a value that Radar can't start with; the message names the variable and the fix."""


def local_path(url: str) -> Path:
    """The local folder of a `file://` URL.

    Raises:
        SettingsError: the URL is not a local one.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise SettingsError(f"{masked(url)} is not a local folder; write file:///an/absolute/path")
    return Path(unquote(parts.path))


class Settings(BaseSettings):
    """What an operator sets. Every field is the environment variable `RADAR_<FIELD>`; unset ones have the value shown."""

    model_config = SettingsConfigDict(
        env_prefix="RADAR_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    home: Path = Field(default=Path("~/.radar"), description="Folder for everything that Radar keeps on this machine.")
    landing_url: Annotated[str | None, shown_url("file", "s3")] = Field(
        default=None, description="Landing zone for segments, file:// or s3://bucket/prefix. Default: <home>/landing."
    )
    landing_group: str | None = Field(
        default=None,
        description="Group of this machine whose members may read the landing zone and add segments to it. Default: none.",
    )
    warehouse_url: Annotated[str | None, shown_url("file")] = Field(
        default=None, description="Where the Iceberg tables live. Default: <home>/warehouse."
    )
    database_url: Annotated[SecretStr | None, AfterValidator(urls.database_url)] = Field(
        default=None,
        description="Operational store, Iceberg catalog and, on Postgres, Dagster's own storage. Default: SQLite in <home>.",
    )
    config: Path | None = Field(
        default=None, description="Configuration file. Default: <home>/radar.yaml, if it exists."
    )
    start_date: date = Field(
        default=date(2026, 1, 1), description="First day of the platform (UTC); older events are rejected."
    )
    engine: Literal["duckdb"] = Field(default="duckdb", description="What runs the SQL models.")
    memory: str = Field(default="1300MB", description="Memory limit of the engine, such as 1GB or 512MB.")
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 2, ge=1, le=256, description="Threads of the engine."
    )

    collector_delay_ms: float = Field(
        default=0, ge=0, le=20, description="How long requests wait for company that shares their write to the disk."
    )
    segment_mb: int = Field(default=64, ge=1, le=1024, description="Size at which the collector closes a segment.")
    segment_age_s: float = Field(default=10, ge=1, le=3600, description="Age at which it does so.")

    body_timeout_s: float = Field(default=30, gt=0, description="Seconds in which the body of a request has to arrive.")
    events_per_second: int | None = Field(
        default=None,
        ge=1,
        description="Events a second that a project may send, unless it has a limit of its own. Default: any.",
    )
    events_per_month: int | None = Field(
        default=None,
        ge=1,
        description="Events in a calendar month (UTC) that a project may send, likewise. Default: any.",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(urls.redis_url)] = Field(
        default=None,
        description="Where workers share what they count for events_per_second. Default: each counts its own.",
    )
    client_address: Literal["truncated", "full", "none"] = Field(
        default="truncated",
        description="What is kept of IP addresses; truncated to the network: /24 of IPv4, /48 of IPv6. The README says where.",
    )
    respect_do_not_track: bool = Field(
        default=False, description="Whether events of browsers that ask for it (DNT, Sec-GPC) are dropped."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Proxies whose X-Forwarded-For is believed: addresses or networks, with commas.",
    )

    # Alerts
    ui_url: Annotated[str | None, shown_url("http", "https")] = Field(
        default=None,
        description="Address of the UI as people reach it: the only host besides this machine's names that the UI answers to. "
        "Also for the links in alerts, and for radar apply to have it load the rules where the same machine serves no UI of this "
        "home. Default: no links.",
    )
    alert_max_age_h: float = Field(
        default=24, gt=0, description="Alerts whose latest window ended longer ago are recorded and not announced."
    )
    alert_throttle_per_hour: int = Field(
        default=10,
        ge=1,
        description="Announcements an hour of one project, kind and severity; the rest comes together at the end of the hour.",
    )
    smtp_url: Annotated[SecretStr | None, AfterValidator(urls.smtp_url)] = Field(
        default=None,
        description="Mail server, smtp://user:password@host:587 (with STARTTLS; ?starttls=no for one without) or smtps://.",
    )
    smtp_from: str | None = Field(
        default=None, description="Address that mails come from, such as alerts@shop.example."
    )
    alert_allowed_hosts: str = Field(
        default="",
        description="Hosts, addresses and networks that alerts may be sent to although they are not public, with commas.",
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
            raise ValueError("is no mail address; write alerts@shop.example or Radar <alerts@shop.example>")
        return value

    @field_validator("landing_group")
    @classmethod
    def _known_group(cls, value: str | None) -> str | None:
        if value is not None:
            _gid(value)
        return value

    @field_validator("home", "config")
    @classmethod
    def _local(cls, value: Path | None) -> Path | None:
        if value is not None and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(value)):
            raise ValueError("is a URL; write a path")
        return value

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("memory")
    @classmethod
    def _memory_size(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", value):
            raise ValueError("is no size; write a number and a unit, such as 1GB or 512MB")
        return value

    @cached_property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The entries of `alert_allowed_hosts`."""
        return tuple(entry.strip() for entry in self.alert_allowed_hosts.split(",") if entry.strip())

    @cached_property
    def landing_zone(self) -> Path | ObjectPath:
        """The landing zone: a local folder, or a prefix of an object store."""
        if self.landing_url and self.landing_url.startswith("s3://"):
            return ObjectPath(self.landing_url.rstrip("/"))
        return self.landing

    @cached_property
    def landing(self) -> Path:
        """Folder of the landing zone.

        Raises:
            SettingsError: it is in an object store.
        """
        return local_path(self.landing_url) if self.landing_url else self.home / "landing"

    @cached_property
    def landing_gid(self) -> int | None:
        """Number of the group that the landing zone is open to."""
        return None if self.landing_group is None else _gid(self.landing_group)

    @cached_property
    def warehouse(self) -> str:
        """Iceberg location of the warehouse folder: `file://` and the path as it is, which Iceberg doesn't percent-encode."""
        return f"file://{local_path(self.warehouse_url) if self.warehouse_url else self.home / 'warehouse'}"

    @cached_property
    def database(self) -> str:
        """SQLAlchemy URL of the operational database, with its driver written out.

        The driver is named because SQLAlchemy 2.1 changed what plain `postgresql://` means.
        """
        given = self.database_url
        url = given.get_secret_value() if given else f"sqlite:///{self.home / 'radar.db'}"
        return re.sub(r"^postgresql://", "postgresql+psycopg2://", url)

    @property
    def on_postgres(self) -> bool:
        """Whether the operational database is Postgres rather than the embedded default."""
        return self.database.startswith("postgresql")

    @cached_property
    def config_file(self) -> Path:
        """Path of the configuration file, which need not exist unless `RADAR_CONFIG` names it."""
        return self.config or self.home / "radar.yaml"

    @cached_property
    def scratch(self) -> Path:
        """Folder for the engine's spill files."""
        return self.home / "tmp"

    def close_home(self) -> "Settings":
        """Make the home, and keep it and what this process makes from now on from other users.

        Raises:
            SettingsError: the home can't be made.
        """
        try:
            permissions.close_home(self.home, self.landing_gid)
        except OSError as error:
            raise SettingsError(
                f"RADAR_HOME: {self.home} can't be written to ({error.strerror}); choose another"
            ) from error
        return self

    def prepare(self) -> "Settings":
        """Make the folders that everything else expects to exist, closed to other users.

        Raises:
            SettingsError: a folder can't be made or written to.
        """
        self.close_home()
        zone = self.landing_zone
        for variable, folder in (
            ("RADAR_HOME", self.home),
            ("RADAR_HOME", self.scratch),
            ("RADAR_WAREHOUSE_URL", Path(self.warehouse.removeprefix("file://"))),
        ):
            _make_folder(variable, folder)
        if isinstance(zone, ObjectPath):
            try:
                zone.check()
            except OSError as error:
                raise SettingsError(f"RADAR_LANDING_URL: {error}; see the bucket and the AWS_* variables") from error
            return self
        is_new = not zone.exists()
        _make_folder("RADAR_LANDING_URL", zone)
        # A folder elsewhere that was there already is the operator's to open; radar doctor says how.
        if self.landing_gid is not None and (is_new or zone.parent == self.home):
            self._share_landing(self.landing_gid)
        return self

    def _share_landing(self, gid: int) -> None:
        try:
            permissions.open_to_group(self.landing, self.home, gid)
        except OSError as error:
            raise SettingsError(
                f"RADAR_LANDING_GROUP={self.landing_group}: {self.landing} can't be given to the group ({error.strerror}); "
                "make the user that runs Radar a member of it"
            ) from error


def _make_folder(variable: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SettingsError(f"{variable}: {path} can't be written to ({error.strerror}); choose another") from error


def _gid(group: str) -> int:
    """Number of a group of this machine, given by its name or its number."""
    if group.isascii() and group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError("is not a group of this machine; see getent group") from None


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: fields to use instead of what the environment says.

    Raises:
        SettingsError: a value is wrong; the message names each variable, its value unless that is a secret, and what is expected.
    """
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        # The error is left behind, as it holds the values that it is about.
        problems = error.errors()
    raise SettingsError(
        "\n".join(_told(str(problem["loc"][0]), problem["input"], problem["msg"]) for problem in problems)
    )


def _told(field: str, value: object, problem: str) -> str:
    """What is wrong with a setting. How a secret looks that is none can't be known, so nothing of it is shown."""
    known = Settings.model_fields.get(field)
    is_secret = known is not None and SecretStr in (known.annotation, *get_args(known.annotation))
    shown = "" if is_secret else f"={masked(value)}"
    return f"RADAR_{field.upper()}{shown}: {problem.removeprefix('Value error, ')}"
