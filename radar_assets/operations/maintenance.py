"""The maintenance of a table: compaction, then the sweep of its folder. And of the caches in the home."""

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.events.related_rows import KEYS_PREFIX
from radar_assets.lakehouse.files import EPOCH
from radar_assets.lakehouse.history import expire_history
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.operations.compaction import Compacted, compact
from radar_assets.operations.settings import OperationsSettings
from radar_assets.operations.sweep import Swept, Usage, check_metadata, sweep
from radar_assets.scratch import ENGINE, owned_folder

if TYPE_CHECKING:
    from dagster import DagsterInstance

CACHED_FOR = timedelta(days=7)
"""How long files in the cache are kept. They are made again when they are needed, which takes about a second."""


class MaintenanceError(Exception):
    """The maintenance of a table is running already."""


@dataclass(frozen=True)
class Maintained:
    """What the maintenance of a table did, or would do."""

    compacted: Compacted
    swept: Swept


def maintain(lakehouse: Lakehouse, name: str, now: datetime, grace: timedelta, *, dry_run: bool = False) -> Maintained:
    """Merge the small files of a table, let its old history expire, and delete the files that nothing has reached for a grace period.

    Args:
        now: in UTC.
        dry_run: only find out what there is to do.

    Raises:
        MaintenanceError: another process maintains the table.
        SweepError: the files in the folder are not those of the table in the catalog.
    """
    lakehouse.snapshot(name)
    with _alone(lakehouse.catalog.data_folder(lakehouse.tables[name]).parent):
        check_metadata(lakehouse, name)
        compacted = compact(lakehouse, name, now, dry_run=dry_run)
        if not dry_run:
            expire_history(lakehouse, lakehouse.tables[name], now)
        return Maintained(compacted, sweep(lakehouse, name, now, grace, dry_run=dry_run))


def grace_period(settings: OperationsSettings, instance: "DagsterInstance") -> timedelta:
    """How long unreached files are kept: as configured, and at least as long as a run may take."""
    longest = timedelta(seconds=instance.run_monitoring_max_runtime_seconds)
    return max(timedelta(hours=settings.sweep_grace_h), longest)


def clear_caches(lakehouse: Lakehouse, now: datetime, *, dry_run: bool = False) -> Usage:
    """Delete old files in the home's cache, and what killed processes have spilled or staged. Returns what was in the cache."""
    found = Usage()
    cache = lakehouse.settings.home / "cache"
    for file in itertools.chain(cache.glob("lineage-*"), cache.glob(f"{KEYS_PREFIX}*")):
        status = file.stat()
        if EPOCH + timedelta(seconds=status.st_mtime) <= now - CACHED_FOR:
            found.add(status.st_size)
            if not dry_run:
                file.unlink(missing_ok=True)
    if not dry_run:
        with owned_folder(lakehouse.settings.scratch, ENGINE):
            pass  # making a folder removes those of killed processes
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder of a table. The system unlocks it when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MaintenanceError(
                f"the maintenance of {folder.name} is running already; wait until it ends"
            ) from error
        yield
    finally:
        os.close(handle)
