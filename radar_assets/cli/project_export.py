"""The folder of an exported project: files of its lines by received hour, and a manifest with its settings, counts and hashes.

It has no secrets: of keys, only what `radar key list` shows.
"""

import gzip
import hashlib
import json
import os
import shutil
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from radar_assets.errors import UsageError
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from radar_assets.events.importer import ImportResult
    from radar_assets.lakehouse.lakehouse import Lakehouse
    from radar_assets.settings import Settings
    from radar_assets.store.database import Store

MANIFEST, VERSION = "manifest.json", 1
FILE = "dt=%Y-%m-%d/hr=%H.ndjson.gz"
CHUNK_BYTES = 2**20


class ExportError(UsageError):
    """A project can't be exported, or a folder is not a sound export; the message says why."""


def export_folder(store: "Store", lakehouse: "Lakehouse", project_id: str, folder: Path) -> dict[str, Any]:
    """Export a project to a new folder, which appears once it is complete and on disk. Returns its manifest.

    Raises:
        ExportError: the folder exists.
        FieldError: the project is unknown.
    """
    from radar_assets.durability import sync_files, sync_folder
    from radar_assets.events.exporter import hours_not_landed, project_lines

    manifest: dict[str, Any] = {
        "version": VERSION,
        "radar": metadata.version("radar-assets"),
        "exported_at": utc_now().isoformat(timespec="seconds"),
        **_settings(store, project_id),
        "hours_not_landed": [f"{hour:%Y-%m-%dT%H}" for hour in hours_not_landed(lakehouse)],
        "lines": 0,
        "files": [],
    }
    if folder.exists():
        raise ExportError(f"{folder} exists already; give a new folder")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        parts: dict[datetime, int] = {}
        for hour, lines in project_lines(lakehouse, project_id):
            path = draft / hour.strftime(FILE)
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                packed.write(lines)
            parts[hour] = parts.get(hour, 0) + lines.count(b"\n")
        for hour, count in parts.items():
            name = hour.strftime(FILE)
            with (draft / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            manifest["files"].append({"path": name, "lines": count, "sha256": digest})
        manifest["lines"] = sum(parts.values())
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2, default=str) + "\n", encoding="utf-8")
        sync_files([path for path in draft.rglob("*") if path.is_file()], draft)
        draft.rename(folder)
        sync_folder(folder.absolute().parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def export_stream(store: "Store", lakehouse: "Lakehouse", project_id: str, to: BinaryIO) -> int:
    """Write the lines of a project to a pipe. Returns how many there are.

    Raises:
        FieldError: the project is unknown.
    """
    from radar_assets.events.exporter import project_lines

    _settings(store, project_id)
    count = 0
    for _, lines in project_lines(lakehouse, project_id):
        to.write(lines)
        count += lines.count(b"\n")
    to.flush()
    return count


def exported_files(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The manifest and the files of an export, whose hashes are checked.

    Raises:
        ExportError: the folder is not an export, is of a newer Radar, or a file is missing or was changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = [(str(each["path"]), str(each["sha256"])) for each in manifest["files"]]
        version = int(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{folder} is not an export of radar project export; {MANIFEST} is missing or damaged"
        ) from error
    if version > VERSION:
        raise ExportError(f"{folder} was exported by a newer Radar; upgrade this one first")
    paths = []
    for name, expected in files:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ExportError(f"{name} is not in the folder of the export")
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ExportError(f"can't read {path}: {error.strerror}") from error
        if digest != expected:
            raise ExportError(f"{path} is not as it was exported: its hash differs")
        paths.append(path)
    return manifest, paths


def add_exported_project(store: "Store", manifest: dict[str, Any]) -> bool:
    """Add the project of an export, with its name, limits and time zones. Returns False if it exists, and stays as it is."""
    from radar_assets.access.projects import ensure_projects
    from radar_assets.access.time_zones import set_time_zone
    from radar_assets.store.models import Project

    given, changes = manifest["project"], manifest["time_zone_changes"]
    zone = changes[0]["previous"] if changes else given["timezone"]
    limits = {name: given[name] for name in ("events_per_second", "events_per_month")}
    if not ensure_projects(store, [Project(given["id"], given["name"], zone, **limits)]):
        return False
    for change in changes:
        set_time_zone(store, given["id"], change["timezone"], datetime.fromisoformat(change["first_day"]).date())
    return True


def land_export(settings: "Settings", manifest: dict[str, Any], files: list[Path]) -> "ImportResult":
    """Land the lines of an export unchanged, each in the hour in which it was received. What landed before is left out."""
    from radar_assets.events.importer import ImportResult
    from radar_assets.events.landing import list_segments, write_segment

    landing, written, hours = settings.landing_zone, 0, []
    start = datetime(settings.start_date.year, settings.start_date.month, settings.start_date.day)
    for given, path in zip(manifest["files"], files, strict=True):
        hour = max(datetime.strptime(path.relative_to(path.parents[1]).as_posix(), FILE), start)
        name = f"import-{given['sha256'][:32]}"
        hours.append(hour)
        if name not in {segment.name for segment in list_segments(landing, hour)}:
            with gzip.open(path) as lines:
                write_segment(landing, hour, name, iter(lambda lines=lines: lines.read(CHUNK_BYTES), b""))
            written += 1
    lines, there = manifest["lines"], len(files) - written
    received, projects = tuple(sorted(set(hours))), {manifest["project"]["id"]: lines}
    return ImportResult(lines, lines, 0, written, there, received, projects)


def _settings(store: "Store", project_id: str) -> dict[str, Any]:
    """What is known of a project, without secrets and without other projects."""
    import sqlalchemy as sa

    from radar_assets.alerts.rules import load_rules
    from radar_assets.store.models import ApiKey, FieldError, Project, TimeZoneChange

    with store.session(read_only=True) as session:
        project = session.get(Project, project_id)
        if project is None:
            raise FieldError("project id", project_id, "is unknown; radar project list shows them")
        keys = list(session.scalars(sa.select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.id)))
        made = sa.select(TimeZoneChange).where(TimeZoneChange.project_id == project_id)
        changes = list(session.scalars(made.order_by(TimeZoneChange.number)))
    rules = [rule.model_dump(mode="json", by_alias=True) for rule in load_rules(store) if rule.judges(project_id)]
    for rule in rules:
        rule["projects"] = [project_id]
        rule["overrides"] = {id: value for id, value in rule["overrides"].items() if id == project_id}
    about = ("id", "name", "timezone", "created_at", "is_active", "events_per_second", "events_per_month")
    of_key = ("id", "kind", "origins", "created_at", "expires_at", "revoked_at")
    return {
        "project": {name: getattr(project, name) for name in about},
        "time_zone_changes": [
            {name: getattr(change, name) for name in ("first_day", "previous", "timezone")} for change in changes
        ],
        "keys": [{name: getattr(key, name) for name in of_key} for key in keys],
        "rules": rules,
    }
