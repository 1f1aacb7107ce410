"""The checks of `radar doctor`: each examines one part of the setup, and suggests fixes."""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import age, counted, radar_command, size

if TYPE_CHECKING:
    from radar_assets.settings import Settings

MIN_FREE_BYTES = 1e9
LOW_FREE_BYTES = 10e9
MAX_HEARTBEAT_AGE = timedelta(minutes=5)
UI_PORT = 3000
RECOVERIES_LISTED = timedelta(days=30)
MAX_LISTED = 10
PACKAGES = ("dagster", "dagster-webserver", "dagster-postgres", "duckdb", "pyarrow", "pyiceberg", "sqlalchemy")


@dataclass(frozen=True)
class Finding:
    """The result of one check, or a setting; `remedy` suggests a fix."""

    level: Literal["error", "warning", "setting", "ok", "default"]
    what: str
    remedy: str = ""


def diagnose(settings: "Settings", *, repair: bool) -> Iterator[Finding]:
    """The findings of all checks.

    Args:
        repair: open each table at the newest sound metadata in its folder, instead of checking the tables.
    """
    tables = _repair if repair else _tables
    for check in (
        *(_settings, _folders, _leftovers, _access, _versions),
        *(_database, _dagster, _port, tables, _landing, _projects),
    ):
        yield from _findings(check, settings)


def _findings(check: "Callable[[Settings], Iterator[Finding]]", settings: "Settings") -> Iterator[Finding]:
    """The findings of a check. If it raises, that is a finding too, and the other checks still run."""
    try:
        yield from check(settings)
    except Exception as error:
        remedy = f"This check could not run. Fix the error, or see its traceback with {radar_command()} status --debug."
        yield Finding("error", f"{check.__name__.strip('_')}: {type(error).__name__}: {error}", remedy)


def _settings(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.masking import masked

    for field, info in type(settings).model_fields.items():
        value = getattr(settings, field)
        effective = {
            "landing_url": f"file://{settings.home / 'landing'}",
            "warehouse_url": settings.warehouse,
            "config": settings.config_file,
        }
        effective["database_url"] = "SQLite in the home"
        shown = (
            effective.get(field) if value is None else masked(", ".join(value) if isinstance(value, tuple) else value)
        )
        default = info.get_default(call_default_factory=True)
        is_default = value == (default.expanduser() if isinstance(default, Path) else default)
        text = f"RADAR_{field.upper()} = {'not set' if shown in (None, '') else shown}"
        yield Finding("default" if is_default else "setting", text)
    if settings.config and not settings.config.exists():
        yield Finding("error", f"RADAR_CONFIG={settings.config}: file not found", "Create it, or unset RADAR_CONFIG.")


def _folders(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.object_store import ObjectPath

    settings.prepare()
    warehouse = Path(settings.warehouse.removeprefix("file://"))
    folders = {"home": settings.home, "landing zone": settings.landing_zone, "warehouse": warehouse}
    for name, folder in folders.items():
        if isinstance(folder, ObjectPath):
            yield Finding("ok", f"{name} {folder} can be listed")
            continue
        free = shutil.disk_usage(folder).free
        text = f"{name} {folder} is writable, {size(free)} free"
        if free < MIN_FREE_BYTES:
            yield Finding("error", text, "Free some space; runs fail when the disk is full.")
        elif free < LOW_FREE_BYTES:
            yield Finding("warning", text, "Free some space before the next backfill.")
        else:
            yield Finding("ok", text)


def _leftovers(settings: "Settings") -> Iterator[Finding]:
    """Temporary files that Radar doesn't know. It removes those of killed processes at the next start."""
    from radar_assets import scratch

    prefixes = (scratch.ENGINE, scratch.FIGURES, scratch.SERVICES)
    unknown = [path for path in sorted(settings.scratch.iterdir()) if not path.name.startswith(prefixes)]
    for path in unknown[:MAX_LISTED]:
        files = path.rglob("*") if path.is_dir() else [path]
        total = size(sum(file.lstat().st_size for file in files if not file.is_dir()))
        yield Finding("warning", f"{path} ({total}) is not used by Radar", "Remove it if you don't need it.")


def _access(settings: "Settings") -> Iterator[Finding]:
    """Places that other users of this machine can read: those outside the home, and those that prepare could not close."""
    from sqlalchemy import make_url

    from radar_assets.permissions import is_open_to_group, openness

    gid, zone = settings.landing_gid, settings.landing_zone
    places = {"home": settings.home, "warehouse": Path(settings.warehouse.removeprefix("file://"))}
    places |= {"landing zone": zone} if isinstance(zone, Path) else {}
    if not settings.on_postgres:
        file = Path(make_url(settings.database).database or "")
        places |= {f"database{suffix}": file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm")}
    is_closed = openness(settings.home) is None
    is_shared = isinstance(zone, Path) and gid is not None and is_open_to_group(zone, gid)
    allowed = {"home": 0o010, "landing zone": 0o070} if is_shared else {}
    is_any_open = False
    for name, place in places.items():
        mode = openness(place, allowed.get(name, 0))
        if mode is None or (is_closed and place.resolve().is_relative_to(settings.home.resolve())):
            continue
        is_any_open = True
        closed = f"{mode & (0o7700 | allowed.get(name, 0)):o}"
        yield Finding("warning", f"{name} {place} is open to other users ({mode:04o})", f"Run chmod {closed} {place}.")
    if isinstance(zone, Path) and gid is not None and not (is_shared and zone.stat().st_mode & stat.S_ISVTX):
        problem = (
            f"can remove the segments of other users from {zone}" if is_shared else f"can't add segments to {zone}"
        )
        remedy = f"Run chgrp {settings.landing_group} {zone} && chmod 3770 {zone}."
        yield Finding("warning", f"the group {settings.landing_group} {problem}", remedy)
    elif not is_any_open:
        yield Finding("ok", "home, database, landing zone and warehouse are closed to other users")


def _versions(_: "Settings") -> Iterator[Finding]:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata("radar-assets")["Requires-Python"]
    python = ".".join(map(str, sys.version_info[:3]))
    fits = SpecifierSet(wanted).contains(python)
    yield Finding(
        "ok" if fits else "error", f"Python {python}, requires {wanted}", "" if fits else "Install a supported Python."
    )
    for requirement in map(Requirement, metadata.requires("radar-assets") or []):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding("error", f"{requirement.name} is not installed", "Reinstall Radar.")
            continue
        text = f"{requirement.name} {version}, requires {requirement.specifier}"
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding("error", text, f'Install "{requirement.name}{requirement.specifier}".')
        elif requirement.name in PACKAGES:
            yield Finding("ok", text)


def _database(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.store.database import StoreError, open_store

    try:
        store = open_store(settings.database)
    except StoreError as error:
        yield Finding("error", str(error), "Start the database, or fix RADAR_DATABASE_URL.")
        return
    store.close()
    kind = "Postgres" if settings.on_postgres else "SQLite"
    yield Finding("ok", f"the database ({kind}) is reachable and its schema is up to date")


def _dagster(settings: "Settings") -> Iterator[Finding]:
    from dagster import DagsterInstance

    from radar_assets.orchestration.runtime.code_location import problem
    from radar_assets.orchestration.runtime.instance import STAMP, instance_yaml, prepare_instance
    from radar_assets.windows import utc_now

    home = prepare_instance(settings)
    with DagsterInstance.from_config(str(home)) as instance:
        heartbeats = instance.get_daemon_heartbeats().values()
        unreachable = problem(instance, utc_now())
    if (home / "dagster.yaml").read_text().startswith(STAMP):
        yield Finding("ok", f"the Dagster instance in {home} uses Radar's dagster.yaml")
    else:
        remedy = f"Compare it with {instance_yaml()} after each upgrade."
        yield Finding("warning", f"the Dagster instance in {home} uses a dagster.yaml of your own", remedy)
    elsewhere = os.environ.get("DAGSTER_HOME")
    if elsewhere and Path(elsewhere).absolute() != home:
        remedy = f"Dagster's own commands use another instance; set DAGSTER_HOME={home}."
        yield Finding("warning", f"DAGSTER_HOME={elsewhere} is not Radar's", remedy)
    last = max((heartbeat.timestamp for heartbeat in heartbeats), default=None)
    silence = None if last is None else utc_now() - datetime(1970, 1, 1) - timedelta(seconds=last)
    if silence is None:
        remedy = f"Start it with {radar_command()} dev. Until then nothing is loaded automatically."
        yield Finding("warning", "the daemon has never run", remedy)
    elif silence > MAX_HEARTBEAT_AGE:
        remedy = f"Start it with {radar_command()} dev."
        yield Finding("warning", f"the daemon was last seen {age(silence)} ago", remedy)
    else:
        yield Finding("ok", f"the daemon was seen {age(silence)} ago")
    if unreachable:
        remedy = f"See Deployment in the UI, fix what it shows, and restart {radar_command()} dev or the daemon."
        yield Finding("error", f"the daemon runs, but {unreachable}", remedy)
    for heartbeat in heartbeats:
        for error in heartbeat.errors or []:
            text = f"{heartbeat.daemon_type} daemon: {error.message.strip()}"
            yield Finding("warning", text, "See Deployment in the UI.")


def _tables(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.lakehouse.recoveries import DamagedTableError
    from radar_assets.tables import open_lakehouse
    from radar_assets.windows import utc_now

    lakehouse = open_lakehouse(settings)
    since, is_any_damaged = (utc_now() - RECOVERIES_LISTED).isoformat(), False
    for name in lakehouse.tables:
        try:
            snapshot = lakehouse.snapshot(name)
            snapshot.files()
        except DamagedTableError as error:
            is_any_damaged = True
            yield Finding("error", str(error))
            continue
        for recovery in snapshot.recoveries:
            if recovery.at >= since:
                lost = max(0, recovery.last - recovery.first + 1)
                what = f"table {name} was recovered at {recovery.at[:19]} UTC, {lost} commits lost: {recovery.reason}"
                yield Finding("warning", what, "What was lost is built again. Check the disk if this happens again.")
    from radar_assets.cli.upgrade import outdated_partitions

    if not is_any_damaged and (outdated := outdated_partitions(lakehouse)):
        partitions = counted(sum(map(len, outdated.values())), "partition")
        what = f"{partitions} of {', '.join(outdated)} were built by an earlier definition"
        yield Finding("warning", what, f"Rebuild them with {radar_command()} upgrade.")
    if not is_any_damaged:
        yield Finding("ok", f"the files of {len(lakehouse.tables)} tables are complete")


def _repair(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    store, lakehouse = open_store(settings.database), open_lakehouse(settings)
    for name in lakehouse.tables:
        found = lakehouse.catalog.recover(name, start_over=True)
        if found:
            audit(store, "doctor.repair", name, reason=found[-1].reason)
        for recovery in found:
            yield Finding("warning", f"table {name} was recovered: {recovery.reason}")
        if not found:
            yield Finding("ok", f"table {name} is at its newest sound metadata")


def _port(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.cli.dev import PortTakenError, check_port
    from radar_assets.cli.ui_address import find_ui

    if url := find_ui(settings):
        yield Finding("ok", f"the UI runs at {url}")
        return
    try:
        check_port("127.0.0.1", UI_PORT)
    except PortTakenError:
        remedy = f"If another program uses it, choose another port: {radar_command()} dev --port 3001."
        yield Finding("warning", f"port {UI_PORT} is in use", remedy)
    else:
        yield Finding("ok", f"port {UI_PORT} is free for the UI")


def _landing(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.events.landing import list_hours, list_segments, list_strays
    from radar_assets.events.local_zone import oddity

    hours = list_hours(settings.landing_zone)
    latest = max(hours, default=None)
    if latest is None:
        yield Finding("ok", "the landing zone is empty")
    else:
        held = counted(len(list_segments(settings.landing_zone, latest)), "segment")
        latest_hour = f"{latest:%Y-%m-%d %H:%M} with {held}"
        yield Finding("ok", f"the landing zone has {counted(len(hours), 'hour')}; the latest is {latest_hour}")
    early = sorted(hour for hour in hours if hour.date() < settings.start_date)
    if early:
        remedy = f"To load them, set RADAR_START_DATE={early[0]:%Y-%m-%d}."
        yield Finding(
            "warning",
            f"{len(early):,} landed hours are before RADAR_START_DATE={settings.start_date} and are not loaded",
            remedy,
        )
    segments = (segment.path for hour in hours for segment in list_segments(settings.landing_zone, hour))
    linked = [path for path in segments if isinstance(path, Path) and path.lstat().st_nlink > 1]
    if linked:
        remedy = "They are read, because backups often use hard links. Remove any that you don't expect."
        found = counted(len(linked), "segment has", "segments have")
        yield Finding("warning", f"{found} additional hard links, e.g. {linked[0]}", remedy)
    for stray in list_strays(settings.landing_zone)[:MAX_LISTED]:
        if isinstance(stray, Path) and (kind := oddity(stray)):
            remedy = "Only regular files in regular folders are read. Copy its content there, or remove it."
            yield Finding("warning", f"{stray} is {kind} and is not read", remedy)
            continue
        remedy = "Rename it to dt=YYYY-MM-DD/hr=HH/<name>.ndjson, .ndjson.gz or .ndjson.zst, or remove it."
        yield Finding("warning", f"{stray} is not a segment and is not read", remedy)


def _projects(settings: "Settings") -> Iterator[Finding]:
    from radar_assets.access.projects import list_projects
    from radar_assets.cli.projects import is_plain_id
    from radar_assets.cli.sql import reading
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    projects = {project.id for project in list_projects(open_store(settings.database))}
    with reading(open_lakehouse(settings)) as connection:
        seen = {row[0] for row in connection.execute("select distinct project_id from events").fetchall()}
        unknown = connection.execute(
            "select project_id, count(*) from rejected_events where reason = 'unknown_project'"
            f" group by project_id order by count(*) desc limit {MAX_LISTED}"
        ).fetchall()
    if not projects:
        yield Finding(
            "warning",
            "no projects yet",
            f"Add one with {radar_command()} project add ID, or try {radar_command()} demo.",
        )
    elif projects & seen:
        yield Finding(
            "ok", f"{len(projects & seen):,} of {counted(len(projects), 'project has', 'projects have')} events"
        )
    for project in sorted(projects - seen)[:MAX_LISTED]:
        yield Finding(
            "warning",
            f"project {project} has no events",
            f"Check that its senders use project_id {project!r}, or a key of this project.",
        )
    for project, count in unknown:
        remedy = f"Land them again with {radar_command()} replay-rejected --reason unknown_project."
        option = "" if is_plain_id(project) else " --any-id"
        if project not in projects:
            remedy = f"Add it with {radar_command()} project add {project!r}{option}. {remedy}"
        lines = counted(count, f"line of project {project} was", f"lines of project {project} were")
        yield Finding("warning", f"{lines} rejected because it did not exist", remedy)
