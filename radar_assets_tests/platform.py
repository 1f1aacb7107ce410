"""A platform for a test: real settings, tables and instance, driven tick by tick like the daemon does."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from radar_assets.access.projects import ensure_projects
from radar_assets.definitions import build_defs
from radar_assets.events.landing import write_segment
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.first_day import begin_by
from radar_assets.store.models import Project
from radar_assets.tables import TABLES, open_lakehouse

DERIVED = [name for name in TABLES if name != "raw_events"]


def event(event_id: str, at: datetime, received_at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """A canonical event that happened at `at` and was received a second later, unless fields say otherwise."""
    received = received_at or at + timedelta(seconds=1)
    return {
        "event_id": event_id,
        "project_id": "shop",
        "type": "page",
        "event": "page_view",
        "anonymous_id": "visitor",
        "timestamp": f"{at.isoformat()}Z",
        "received_at": f"{received.isoformat()}Z",
        "properties": {"url": "https://shop.example/"},
        "protocol": "test",
        **fields,
    }


def line(fields: Mapping[str, Any]) -> bytes:
    """An event as a line of a segment."""
    return json.dumps(fields).encode() + b"\n"


@contextmanager
def instance_of(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of the home, as Radar's commands open it."""
    with dg.DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def remote_origin(job: str) -> RemoteJobOrigin:
    """The origin of runs that the daemon starts; those in a process of ours have none."""
    location = RegisteredCodeLocationOrigin("radar_assets.definitions")
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)


def save_cursor(instance: dg.DagsterInstance, sensor: str, cursor: str | None) -> None:
    """Keep the cursor of a sensor as the daemon does after a tick."""
    origin = RemoteInstigatorOrigin(remote_origin("any").repository_origin, sensor)
    data = SensorInstigatorData(cursor=cursor)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    if instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
        instance.update_instigator_state(state)
    else:
        instance.add_instigator_state(state)


def open_paths(folder: Path) -> list[Path]:
    """The paths in a folder that other users can access."""
    return [path for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077 and not path.is_symlink()]


@dataclass
class Platform:
    """Definitions, tables and an instance.

    Attributes:
        zones: the time zones of projects that are not in UTC.
    """

    settings: Settings
    instance: dg.DagsterInstance
    is_of_today: bool = False
    zones: Mapping[str, str] = field(default_factory=dict)
    cursors: dict[str, str | None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store = open_store(self.settings.database)
        ensure_projects(
            self.store,
            [Project(id, id, zone) for id, zone in ({"shop": "UTC", "blog": "UTC"} | {**self.zones}).items()],
        )
        # Tests have events of the past. Those about the first day ask for a home of today.
        if not self.is_of_today:
            begin_by(self.store, self.settings.start_date)
        self.lakehouse = open_lakehouse(self.settings)

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(self.settings)

    def land(self, received: datetime, events: Iterable[Mapping[str, Any] | bytes], name: str) -> None:
        """Add a segment to the landing zone."""
        lines = [entry if isinstance(entry, bytes) else line(entry) for entry in events]
        hour = received.replace(minute=0, second=0, microsecond=0)
        write_segment(self.settings.landing, hour, name, lines)

    def tick(self, name: str) -> list[dg.RunRequest]:
        """Tick a sensor. Requests with a known run key are dropped, as by the daemon."""
        sensor = self.defs.resolve_sensor_def(name)
        # Left at once: the context opens the instance again, and Dagster would restore that one whenever it is garbage-collected.
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            definitions=self.defs,
            resources={"lakehouse": self.lakehouse, "store": self.store},
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursors[name] = data.cursor
        fresh = [request for request in data.run_requests or [] if request.run_key not in self.seen]
        self.seen |= {str(request.run_key) for request in fresh}
        return fresh

    def execute(self, job: str, request: dg.RunRequest, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        """Run a request in this process, on the instance."""
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection or []),
            tags=dict(request.tags),
            raise_on_error=raise_on_error,
        )

    def rebuild(
        self, job: str, first: str, last: str, assets: Iterable[str] = (), tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job over a range of partitions, as a backfill does."""
        span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last, **(tags or {})}
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=span, asset_selection=[dg.AssetKey(name) for name in assets] or None
        )

    def settle(self, most: int = 10) -> list[str]:
        """Tick all sensors and run their requests until none is left. Returns the run keys, in order."""
        done: list[str] = []
        for _ in range(most):
            asked = [
                (job, request)
                for sensor, job in (
                    ("landing_sensor", "hourly_job"),
                    ("stale_hours_sensor", "hourly_job"),
                    ("stale_days_sensor", "daily_job"),
                )
                for request in self.tick(sensor)
            ]
            if not asked:
                return done
            for job, request in asked:
                self.execute(job, request)
                done.append(str(request.run_key))
        raise AssertionError(f"still asking after {most} rounds: {done}")

    def rows(self, table: str, sql: str = "select * from {table}") -> list[dict[str, Any]]:
        """Rows of a table, sorted."""
        model = SqlModel(table, f"select * from ({sql.format(table=table)}) order by all")
        return self.lakehouse.engine.query(model, {table: Files.of(self.lakehouse.snapshot(table))}).to_pylist()

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of all tables, without the segments of lines, since batching may differ."""
        kept: dict[str, str] = dict.fromkeys(
            ("raw_events", "events"), "select * exclude (segment, line_number) from {table}"
        )
        kept["rejected_events"] = "select received_hour, reason, line from {table}"
        return {name: self.rows(name, kept.get(name, "select * from {table}")) for name in TABLES}

    def close(self) -> None:
        with suppress(Exception):
            self.instance.dispose()
