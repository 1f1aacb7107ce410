"""Where Radar keeps its data: the home, and what may lie outside of it (landing zone, warehouse, database).

These settings are the ones that every layer needs.
"""

import grp
import re
import tempfile
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from radar_assets import permissions, urls
from radar_assets.environment import DEFAULT_HOME, EnvironmentSettings, SettingsError
from radar_assets.masking import masked
from radar_assets.object_store import ObjectPath
from radar_assets.urls import shown_url


def local_path(url: str) -> Path:
    """The local folder of a `file://` URL.

    Raises:
        SettingsError: not the URL of a local folder.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise SettingsError(f"{masked(url)} is not a local folder; use file:///an/absolute/path")
    return Path(unquote(parts.path))


def _no_url(path: Path) -> Path:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ValueError("must be a path, not a URL")
    return path


LocalPath = Annotated[Path, AfterValidator(_no_url)]
"""A path of this machine; a URL is refused."""


class HomeSettings(EnvironmentSettings):
    """Storage: where data is kept, and from which day on."""

    home: LocalPath = Field(
        default=Path(DEFAULT_HOME), description="Folder for everything Radar stores on this machine."
    )
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
    config: LocalPath | None = Field(
        default=None, description="Configuration file. Default: <home>/radar.yaml, if it exists."
    )
    start_date: date = Field(
        default=date(2026, 1, 1),
        description="Oldest day of data (UTC). Older events are rejected. If set, partitions start on this day. "
        "Otherwise they start on the day the home was made, or that of its oldest data.",
    )
    # Here rather than with the collector, because rules wait until the segments with the last lines of a window are closed.
    segment_mb: int = Field(
        default=64, ge=1, le=1024, description="Size at which the collector closes a segment, in MB."
    )
    segment_age_s: float = Field(
        default=10, ge=1, le=3600, description="Age at which the collector closes a segment, in seconds."
    )

    @field_validator("landing_group")
    @classmethod
    def _known_group(cls, value: str | None) -> str | None:
        if value is not None:
            _gid(value)
        return value

    @field_validator("home")
    @classmethod
    def _absolute_home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

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

    def close_home(self) -> Self:
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

    def prepare(self) -> Self:
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
