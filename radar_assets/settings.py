"""Radar's settings: one class, read from `RADAR_*` environment variables and validated at the start.

A setting belongs here when an operator changes it between deployments. What changes the meaning of a number is configuration
(`radar.yaml`) and lives with its layer.
"""

import os
import re
import tempfile
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from radar_assets.object_store import ObjectPath


class SettingsError(Exception):
    """A setting has a value that Radar can't start with; the message names the variable and the fix."""


def _url(*schemes: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        if value is None:
            return None
        if "://" not in value:
            raise ValueError(f"is no URL; write {' or '.join(f'{scheme}://...' for scheme in schemes)}")
        scheme = value.split("://", 1)[0]
        if scheme.split("+")[0] not in schemes:
            raise ValueError(f"has the scheme {scheme}; use one of {', '.join(schemes)}")
        if scheme == "file" and urlsplit(value).netloc not in ("", "localhost"):
            raise ValueError("is not a local folder; write file:///an/absolute/path")
        return value

    return AfterValidator(check)


def local_path(url: str) -> Path:
    """The local folder of a `file://` URL.

    Raises:
        SettingsError: the URL is not a local one.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise SettingsError(f"{url} is not a local folder; write file:///an/absolute/path")
    return Path(unquote(parts.path))


class Settings(BaseSettings):
    """What an operator sets. Every field is the environment variable `RADAR_<FIELD>`; unset ones have the value shown."""

    model_config = SettingsConfigDict(env_prefix="RADAR_", frozen=True, extra="ignore", validate_default=True)

    home: Path = Field(default=Path("~/.radar"), description="Folder for everything that Radar keeps on this machine.")
    landing_url: Annotated[str | None, _url("file", "s3")] = Field(
        default=None, description="Landing zone for segments, file:// or s3://bucket/prefix. Default: <home>/landing."
    )
    warehouse_url: Annotated[str | None, _url("file")] = Field(
        default=None, description="Where the Iceberg tables live. Default: <home>/warehouse."
    )
    database_url: Annotated[str | None, _url("sqlite", "postgresql")] = Field(
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
    memory: str = Field(default="1GB", description="Memory limit of the engine, such as 1GB or 512MB.")
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
    redis_url: Annotated[str | None, _url("redis", "rediss")] = Field(
        default=None,
        description="Where workers share what they count for events_per_second. Default: each counts its own.",
    )
    client_address: Literal["truncated", "full", "none"] = Field(
        default="truncated",
        description="What is kept of IP addresses; truncated to the network: /24 of IPv4, /48 of IPv6.",
    )
    respect_do_not_track: bool = Field(
        default=False, description="Whether events of browsers that ask for it (DNT, Sec-GPC) are dropped."
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Proxies whose X-Forwarded-For is believed: addresses or networks, with commas.",
    )

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
    def warehouse(self) -> str:
        """Iceberg location of the warehouse folder: `file://` and the path as it is, which Iceberg doesn't percent-encode."""
        return f"file://{local_path(self.warehouse_url) if self.warehouse_url else self.home / 'warehouse'}"

    @cached_property
    def database(self) -> str:
        """SQLAlchemy URL of the operational database, with its driver written out.

        The driver is named because SQLAlchemy 2.1 changed what plain `postgresql://` means.
        """
        url = self.database_url or f"sqlite:///{self.home / 'radar.db'}"
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

    def prepare(self) -> "Settings":
        """Make the folders that everything else expects to exist.

        Raises:
            SettingsError: a folder can't be made or written to.
        """
        folders = {"RADAR_HOME": [self.home, self.scratch]}
        folders["RADAR_WAREHOUSE_URL"] = [Path(self.warehouse.removeprefix("file://"))]
        if isinstance(self.landing_zone, ObjectPath):
            try:
                self.landing_zone.check()
            except OSError as error:
                raise SettingsError(f"RADAR_LANDING_URL: {error}; see the bucket and the AWS_* variables") from error
        else:
            folders["RADAR_LANDING_URL"] = [self.landing_zone]
        for name, paths in folders.items():
            for path in paths:
                try:
                    path.mkdir(parents=True, exist_ok=True)
                    with tempfile.TemporaryFile(dir=path):
                        pass
                except OSError as error:
                    raise SettingsError(
                        f"{name}: {path} can't be written to ({error.strerror}); choose another"
                    ) from error
        return self


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", url)


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: fields to use instead of what the environment says.

    Raises:
        SettingsError: a value is wrong; the message names each variable, its value and what is expected.
    """
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = str(problem["loc"][0]) if problem["loc"] else "settings"
            value = without_password(str(problem["input"]))
            lines.append(f"RADAR_{field.upper()}={value}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from error
