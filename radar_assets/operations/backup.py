"""Backup and restore of the databases in a home: the operational store with the Iceberg catalog, and Dagster's storage.

The landing zone and the warehouse are plain files that never change, so any tool copies them.
"""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from importlib import metadata
from pathlib import Path

import psutil
from sqlalchemy import make_url

from radar_assets.access import key_files
from radar_assets.durability import sync_files, sync_folder
from radar_assets.home import HomeSettings
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.recoveries import Recovery
from radar_assets.orchestration.runtime.instance import dagster_home
from radar_assets.store.database import NEWEST_SCHEMA, PATIENCE_S
from radar_assets.windows import utc_now

STORE, STORAGE, FACTS = "radar.db", "dagster", "backup.json"
"""Names in a backup: the store, the folder of Dagster's databases, and what the backup is of."""
REPLACED = "replaced"
"""Folder in the home for the databases that a restore replaced."""


class BackupError(Exception):
    """A backup can't be made or restored; the message says why and what to do."""


def back_up(settings: HomeSettings, folder: Path) -> list[Path]:
    """Copy the databases into a new folder, which appears once it is complete and on disk. Radar may run meanwhile.

    Returns:
        The files of the backup.

    Raises:
        BackupError: the folder exists, or the store is in Postgres.
    """
    _check_sqlite(settings, "pg_dump --format=custom")
    if folder.exists():
        raise BackupError(f"{folder} exists already; give a new folder, e.g. one per day")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        # Dagster first: its cursors may be older than the tables, but not newer.
        for source in _dagster_databases(settings):
            _copy(source, draft / STORAGE / source.relative_to(_storage(settings)))
        _copy(_store(settings), draft / STORE)
        if settings.config_file.exists():
            shutil.copyfile(settings.config_file, draft / "radar.yaml")
        # After the store, so that the key of each checkpoint in its audit log is there.
        for key in settings.home.glob(key_files.FILES):
            shutil.copy(key, draft / key.name)
        facts = {
            "radar": metadata.version("radar-assets"),
            "schema": NEWEST_SCHEMA,
            "created_at": utc_now().isoformat(timespec="seconds"),
        }
        (draft / FACTS).write_text(json.dumps(facts))
        sync_files([path for path in draft.rglob("*") if path.is_file()], draft)
        draft.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def restore(settings: HomeSettings, folder: Path, lakehouse: Lakehouse) -> dict[str, list[Recovery]]:
    """Put the databases of a backup in place, and open each table at the newest state that its files allow.

    The replaced databases are kept in `<home>/replaced/`.

    Returns:
        The recoveries of each table.

    Raises:
        BackupError: the folder is not a backup or of a newer Radar, Radar is running, or the store is in Postgres.
        DamagedTableError: a table has no sound metadata. The databases are restored nevertheless.
    """
    _check_sqlite(settings, "pg_restore --clean")
    try:
        facts = json.loads((folder / FACTS).read_text())
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder} is not a backup of radar backup; {FACTS} is missing or damaged") from error
    if facts["schema"] > NEWEST_SCHEMA:
        raise BackupError(f"{folder} is a backup of Radar {facts['radar']}, which is newer; upgrade this one first")
    if users := processes_using(settings):
        raise BackupError(f"Radar is running (processes {', '.join(map(str, users))}); stop it first")
    store, storage = _store(settings), _storage(settings)
    aside = settings.home / REPLACED / f"{utc_now():%Y%m%dT%H%M%S.%f}"
    aside.mkdir(parents=True)
    replaced = [storage, *(store.with_name(f"{store.name}{suffix}") for suffix in ("", "-wal", "-shm"))]
    keys = list(folder.glob(key_files.FILES))
    replaced += [settings.home / key.name for key in keys]
    for path in replaced:
        if path.exists():
            shutil.move(path, aside / path.name)
    restored = [store]
    if (folder / STORAGE).exists():
        shutil.copytree(folder / STORAGE, storage)
        restored += [path for path in storage.rglob("*") if path.is_file()]
    store.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / STORE, store)
    for key in keys:
        restored.append(shutil.copyfile(key, settings.home / key.name))
        restored[-1].chmod(key_files.MODE)
    if (folder / "radar.yaml").exists() and not settings.config_file.exists():
        shutil.copyfile(folder / "radar.yaml", settings.config_file)
    sync_files(restored, settings.home)
    return {name: lakehouse.catalog.recover(name) for name in lakehouse.tables}


def processes_using(settings: HomeSettings) -> list[int]:
    """Ids of other processes that have the store open, as far as this user can see."""
    store, found = str(_store(settings)), []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(file.path == store for file in process.open_files()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _check_sqlite(settings: HomeSettings, command: str) -> None:
    if settings.on_postgres:
        raise BackupError(f"the databases are in Postgres; use {command}, see docs/operations/backup.md")


def _store(settings: HomeSettings) -> Path:
    return Path(make_url(settings.database).database or "").resolve()


def _storage(settings: HomeSettings) -> Path:
    return dagster_home(settings) / "storage"


def _dagster_databases(settings: HomeSettings) -> list[Path]:
    """Dagster's databases: those of the cursors first, and those of runs before their events."""
    order = {"schedules.db": 0, "runs.db": 1}
    return sorted(_storage(settings).rglob("*.db"), key=lambda path: (order.get(path.name, 2), path))


def _copy(source: Path, target: Path) -> None:
    """Copy a database as of one moment, with what is only in its write-ahead log yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=PATIENCE_S)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
