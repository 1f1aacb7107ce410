"""Radar's settings: one class, read from `RADAR_*` environment variables and validated when a process starts.

What operators change between deployments belongs here. What changes the meaning of a number is configuration (`radar.yaml`) and
belongs in its layer.
"""

import grp
import os
import re
import sys
import tempfile
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from radar_assets import permissions, urls
from radar_assets.masking import masked
from radar_assets.object_store import ObjectPath
from radar_assets.urls import shown_url

MAIL_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")


class SettingsError(Exception):
    """A setting is invalid. The message names the variable and the fix."""


def _comma_separated(value: object) -> object:
    return tuple(entry.strip() for entry in value.split(",") if entry.strip()) if isinstance(value, str) else value


def local_path(url: str) -> Path:
    """The local folder of a `file://` URL.

    Raises:
        SettingsError: not the URL of a local folder.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise SettingsError(f"{masked(url)} is not a local folder; use file:///an/absolute/path")
    return Path(unquote(parts.path))


class Settings(BaseSettings):
    """The settings and their defaults. Each field is read from the environment variable `RADAR_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix="RADAR_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    home: Path = Field(default=Path("~/.radar"), description="Folder for everything Radar stores on this machine.")
    landing_url: Annotated[str | None, shown_url("file", "s3")] = Field(
        default=None, description="Landing zone for segments: file:// or s3://bucket/prefix. Default: <home>/landing."
    )
    landing_group: str | None = Field(
        default=None,
        description="Group of this machine whose members may read the landing zone and add segments to it. Default: none.",
    )
    warehouse_url: Annotated[str | None, shown_url("file")] = Field(
        default=None, description="Location of the Iceberg tables: file://. Default: <home>/warehouse."
    )
    database_url: Annotated[SecretStr | None, AfterValidator(urls.database_url)] = Field(
        default=None,
        description="Operational store, Iceberg catalog and, on Postgres, Dagster's own storage. Default: SQLite in <home>.",
    )
    config: Path | None = Field(
        default=None, description="Configuration file. Default: <home>/radar.yaml, if it exists."
    )
    start_date: date = Field(
        default=date(2026, 1, 1),
        description="Oldest day of data (UTC). Older events are rejected. If set, partitions start on this day. "
        "Otherwise they start on the day the home was made, or that of its oldest data.",
    )
    engine: Literal["duckdb"] = Field(default="duckdb", description="Engine that runs the SQL models.")
    memory: str = Field(default="1300MB", description="Memory limit of the engine, e.g. 1GB or 512MB.")
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 2, ge=1, le=256, description="Number of threads of the engine."
    )

    collector_delay_ms: float = Field(
        default=0, ge=0, le=20, description="How many milliseconds requests wait so that several share one disk sync."
    )
    segment_mb: int = Field(
        default=64, ge=1, le=1024, description="Size at which the collector closes a segment, in MB."
    )
    segment_age_s: float = Field(
        default=10, ge=1, le=3600, description="Age at which the collector closes a segment, in seconds."
    )

    body_timeout_s: float = Field(
        default=30, gt=0, description="Timeout for receiving the body of a request, in seconds."
    )
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
    client_address: Literal["truncated", "full", "none"] = Field(
        default="truncated",
        description="What is stored of client IP addresses: truncated (the /24 network for IPv4, /48 for IPv6), full or none. "
        "See Client addresses in docs/reference/settings.md.",
    )
    respect_do_not_track: bool = Field(
        default=False, description="Whether to drop events of browsers that send DNT or Sec-GPC."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Proxies whose X-Forwarded-For header is trusted: addresses or networks, separated by commas.",
    )

    # Alerts
    ui_url: Annotated[str | None, shown_url("http", "https")] = Field(
        default=None,
        description="Public address of the UI. The UI answers only to its host and to the names of this machine. Alerts link to it, "
        "and radar apply reloads it if no UI of this home runs on this machine. Default: none; alerts have no links.",
    )
    alert_max_age_h: float = Field(
        default=24,
        gt=0,
        description="Alerts whose latest window ended more than this many hours ago are recorded but not announced.",
    )
    alert_throttle_per_hour: int = Field(
        default=10,
        ge=1,
        description="Maximum announcements per hour of one project, kind and severity. "
        "The rest follows as a digest at the end of the hour.",
    )
    smtp_url: Annotated[SecretStr | None, AfterValidator(urls.smtp_url)] = Field(
        default=None,
        description="Mail server: smtp://user:password@host:587 for STARTTLS (?starttls=no turns it off), or smtps:// for TLS.",
    )
    smtp_from: str | None = Field(default=None, description="Sender address of mails, e.g. alerts@shop.example.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        default=(),
        description="Hosts, addresses and networks that messages may be sent to although they are not public, separated by commas.",
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
            raise ValueError("must be a path, not a URL")
        return value

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("memory")
    @classmethod
    def _memory_size(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", value):
            raise ValueError("not a size; use a number and a unit, e.g. 1GB")
        return value

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
        """Id of the group that the landing zone is open to."""
        return None if self.landing_group is None else _gid(self.landing_group)

    @cached_property
    def warehouse(self) -> str:
        """Iceberg location of the warehouse folder: `file://` and the path, which Iceberg doesn't percent-encode."""
        return f"file://{local_path(self.warehouse_url) if self.warehouse_url else self.home / 'warehouse'}"

    @cached_property
    def database(self) -> str:
        """SQLAlchemy URL of the operational database, with an explicit driver.

        The driver is named because SQLAlchemy 2.1 changed what plain `postgresql://` means.
        """
        secret = self.database_url
        url = secret.get_secret_value() if secret else f"sqlite:///{self.home / 'radar.db'}"
        return re.sub(r"^postgresql://", "postgresql+psycopg2://", url)

    @property
    def on_postgres(self) -> bool:
        """Whether the operational database is Postgres rather than the embedded default."""
        return self.database.startswith("postgresql")

    @cached_property
    def config_file(self) -> Path:
        """Path of the configuration file. It must exist only if `RADAR_CONFIG` names it."""
        return self.config or self.home / "radar.yaml"

    @cached_property
    def scratch(self) -> Path:
        """Folder for the engine's spill files."""
        return self.home / "tmp"

    def close_home(self) -> "Settings":
        """Create the home, readable by its owner only, like every file that this process creates from now on.

        Raises:
            SettingsError: the home can't be created.
        """
        try:
            permissions.close_home(self.home, self.landing_gid)
        except OSError as error:
            raise SettingsError(
                f"RADAR_HOME: can't write to {self.home} ({error.strerror}); fix its permissions or choose another folder"
            ) from error
        return self

    def prepare(self) -> "Settings":
        """Create the folders that everything else expects to exist, readable by their owner only.

        Raises:
            SettingsError: a folder can't be created or written to.
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
                raise SettingsError(f"RADAR_LANDING_URL: {error}; check the bucket and the AWS_* variables") from error
            return self
        is_new = not zone.exists()
        _make_folder("RADAR_LANDING_URL", zone)
        # Existing folders outside the home are left to the operator; radar doctor prints the command.
        if self.landing_gid is not None and (is_new or zone.parent == self.home):
            self._share_landing(self.landing_gid)
        return self

    def _share_landing(self, gid: int) -> None:
        try:
            permissions.open_to_group(self.landing, self.home, gid)
        except OSError as error:
            raise SettingsError(
                f"RADAR_LANDING_GROUP={self.landing_group}: can't give {self.landing} to the group ({error.strerror}); "
                "add the user that runs Radar to the group"
            ) from error


def _make_folder(variable: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SettingsError(
            f"{variable}: can't write to {path} ({error.strerror}); fix its permissions or choose another folder"
        ) from error


def _gid(group: str) -> int:
    """Id of a group of this machine, from its name or its id."""
    if group.isascii() and group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError("not a group on this machine; getent group lists them") from None


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: values that take precedence over the environment.

    Raises:
        SettingsError: a value is invalid. The message has each variable, its value unless that is secret, and what is expected.
    """
    for field, old in _FORMER_NAMES.items():
        new = f"RADAR_{field.upper()}"
        if old in os.environ and new not in os.environ:
            _note_former_name(old, new)
            overrides.setdefault(field, os.environ[old])
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        # Raised outside, without the validation error as context: it contains the values.
        problems = error.errors()
    raise SettingsError(
        "\n".join(_message(str(problem["loc"][0]), problem["input"], problem["msg"]) for problem in problems)
    )


_FORMER_NAMES = {"allowed_hosts": "RADAR_ALERT_ALLOWED_HOSTS"}
"""Variables that were renamed, by field. They still work unless the new one is set too."""


@cache
def _note_former_name(old: str, new: str) -> None:
    """Print a notice, once per process."""
    print(f"{old} is deprecated; set {new} instead.", file=sys.stderr)


def _message(field: str, value: object, problem: str) -> str:
    """The message for an invalid setting. Masking relies on a valid format, so nothing of an invalid secret is shown."""
    known = Settings.model_fields.get(field)
    is_secret = known is not None and SecretStr in (known.annotation, *get_args(known.annotation))
    shown = "" if is_secret else f"={masked(value)}"
    problem = re.sub("^Input should be", "must be", problem.removeprefix("Value error, "))
    return f"RADAR_{field.upper()}{shown}: {problem}"
