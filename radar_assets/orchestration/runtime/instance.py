"""The Dagster instance: where its state is stored, and how a home is prepared for it.

Limits, retries and retention are set in `dagster.yaml`.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster import DagsterInstance, Field, Map
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy import create_engine

from radar_assets.environment import SettingsError
from radar_assets.home import HomeSettings
from radar_assets.masking import masked
from radar_assets.orchestration.runtime.event_log import EVENTS_A_BATCH, EventLog, of_whole_assets
from radar_assets.orchestration.settings import RunSettings
from radar_assets.store.database import startup_lock

if TYPE_CHECKING:
    from dagster._daemon.types import DaemonHeartbeat

POOLS_APPLIED = "radar/pools"
"""Key under which the instance stores the pool limits of the `dagster.yaml` that were applied last."""
DAEMON_STARTED = "radar/daemon_started"
"""Key under which it stores when the daemon was started, in seconds since 1970."""
MOVED = {
    "radar_assets.instance": "radar_assets.orchestration.runtime.instance",
    "radar_assets.launcher": "radar_assets.orchestration.runtime.launcher",
}
"""Modules that a `dagster.yaml` of an earlier release names, and where they are now."""
STAMP = "# Written by Radar at every start. To keep changes of your own, remove this line.\n"


class RadarStorage(DagsterStorage, ConfigurableClass):
    """Stores runs, events and schedules in the database of the settings if that is Postgres, else in SQLite in the home.

    Dagster constructs it in every process, so the schema is created under a lock that all processes share. The URL comes from the
    environment, because configuration is passed to child processes on their command line, where other users can see the password.
    """

    @classmethod
    def config_type(cls) -> Any:
        return {"pools": Field(Map(str, int), is_required=False, default_value={})}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        """The chosen storage.

        Raises:
            SettingsError: a setting is invalid.
            StoreError: the database is not usable.
        """
        # Also here, because Dagster's own commands start here and some of them load no definitions.
        settings = HomeSettings.load().close_home()
        # dagster.yaml disables telemetry, but webserver and daemon would still create folders for it in the user's home.
        os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
        # Without it, Dagster stores the planned and materialized partitions of a run one by one.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_A_BATCH))
        with startup_lock(settings.database):
            storage = _postgres(settings.database, inst_data) if settings.on_postgres else _sqlite(settings, inst_data)
            _apply_pool_limits(storage, config_value["pools"])
            _record_daemon_starts(storage.run_storage)
        return storage


class RadarArtifactStorage(LocalArtifactStorage):
    """Stores Dagster's own files in the home."""

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> LocalArtifactStorage:
        return LocalArtifactStorage(str(dagster_home(HomeSettings.load())), inst_data)


class RadarRunCoordinator(QueuedRunCoordinator):
    """Queues runs. `RADAR_MAX_RUNS` limits how many are in progress."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        max_runs = RunSettings.load().max_runs
        # Live data never waits for backfills.
        backfills = {"key": "dagster/backfill", "limit": max(1, max_runs // 2)}
        limits = {"max_concurrent_runs": max_runs, "tag_concurrency_limits": [backfills]}
        return super().from_config_value(inst_data, {**limits, **config_value})


class _SqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite with that event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(_event_logs_directory(base_dir))


def dagster_home(settings: HomeSettings) -> Path:
    """Dagster's folder in the Radar home."""
    return settings.home / "dagster"


def prepare_instance(settings: HomeSettings) -> Path:
    """Prepare the home for Dagster: configuration, schema and pools. Processes can do so concurrently.

    Radar's `dagster.yaml` replaces the one in the home, unless the operator has removed its first line. In that case only the
    names of modules that have moved are changed.

    Returns:
        The value for DAGSTER_HOME, for this process and its children.

    Raises:
        SettingsError: the settings differ from the environment, where Dagster's processes read them.
        StoreError: the database is not usable.
    """
    environment = HomeSettings.load()
    for field in ("home", "database_url"):
        if getattr(settings, field) != (wanted := getattr(environment, field)):
            shown = masked(wanted)
            raise SettingsError(
                f"RADAR_{field.upper()}={shown} in the environment differs from the settings in use. "
                "Dagster's processes read the environment, so set it there"
            )
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    _install_yaml(home)
    with DagsterInstance.from_config(str(home)):
        return home


def instance_yaml() -> Path:
    """Radar's `dagster.yaml`: in the package in a wheel, at the top of a clone."""
    here = Path(__file__).parents[2]
    return next(path for path in (here / "dagster.yaml", here.parent / "dagster.yaml") if path.exists())


def _install_yaml(home: Path) -> None:
    file = home / "dagster.yaml"
    present = file.read_text() if file.exists() else STAMP
    text = STAMP + instance_yaml().read_text() if present.startswith(STAMP) else _with_moved_modules(present)
    if text == present:
        return
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)


def _with_moved_modules(text: str) -> str:
    for module, moved in MOVED.items():
        text = re.sub(rf"(?m)^(\s*module:\s*['\"]?){re.escape(module)}(?=['\"]?\s*(#|$))", rf"\g<1>{moved}", text)
    return text


def _postgres(url: str, inst_data: ConfigurableClassData | None) -> DagsterStorage:
    from dagster_postgres import DagsterPostgresStorage

    storage = DagsterPostgresStorage(url, inst_data=inst_data)
    # Dagster opens a connection for each statement, which takes several times as long as the statement.
    parts: tuple[Any, ...] = (storage.event_log_storage, storage.run_storage)
    for part in parts:
        part._engine = create_engine(
            url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=20, pool_pre_ping=True
        )
        part.dispose = partial(_close, part, part.dispose)
    # Also called for the events of a batch, except for materializations.
    store_event = storage.event_log_storage.store_event
    storage.event_log_storage.store_event = lambda event: store_event(of_whole_assets(event))
    return storage


def _close(part: Any, stop_watching: Callable[[], None]) -> None:
    """Close the connections with the instance. Code servers open an instance for each tick."""
    stop_watching()
    part._engine.dispose()


def _sqlite(settings: HomeSettings, inst_data: ConfigurableClassData | None) -> DagsterStorage:
    folder = dagster_home(settings) / "storage"
    if not folder.exists():
        # Dagster assumes that an existing database file is complete, so a first start that is killed must not leave one.
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        DagsterSqliteStorage.from_local(str(unfinished)).dispose()
        unfinished.rename(folder)
    return _SqliteStorage.from_local(str(folder), inst_data)


def _record_daemon_starts(runs: Any) -> None:
    """Record the first heartbeat of each daemon. Dagster keeps only the last one, which doesn't tell a restart from a long silence."""
    add = runs.add_daemon_heartbeat

    def add_daemon_heartbeat(beat: "DaemonHeartbeat") -> None:
        before = runs.get_daemon_heartbeats().get(beat.daemon_type)
        if before is None or before.daemon_id != beat.daemon_id:
            runs.set_cursor_values({DAEMON_STARTED: str(beat.timestamp)})
        add(beat)

    runs.add_daemon_heartbeat = add_daemon_heartbeat


def _apply_pool_limits(storage: DagsterStorage, pools: Mapping[str, int]) -> None:
    declared = json.dumps(pools, sort_keys=True)
    if storage.run_storage.get_cursor_values({POOLS_APPLIED}).get(POOLS_APPLIED) == declared:
        return
    for pool, limit in pools.items():
        storage.event_log_storage.set_concurrency_slots(pool, limit)
    storage.run_storage.set_cursor_values({POOLS_APPLIED: declared})
