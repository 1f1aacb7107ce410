"""Health checks of what holds data: database, catalog, landing zone, warehouse and disks."""

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from radar_assets.durability import sync_file
from radar_assets.home import HomeSettings
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.object_store import ObjectPath
from radar_assets.operations.health.probes import TIMEOUT_S, Found, Probe, Unhealthy, within
from radar_assets.operations.health.results import free_history
from radar_assets.operations.settings import OperationsSettings
from radar_assets.store.database import Store
from radar_assets.windows import utc_now

TEMPORARY = ".health-"
"""Start of the names of files that a check writes and deletes."""
MAX_SKEW = timedelta(seconds=5)
"""How much the clocks of this machine and of the database may differ. Both give times to what is ordered by them."""
FORECAST_OVER = timedelta(hours=24)
"""Span by which the pace of a disk is judged."""
FORECAST_AFTER = timedelta(hours=1)
"""Shorter spans say nothing: compactions and backfills fill a disk for minutes."""
FULL_WITHIN = timedelta(hours=24)
"""A disk is unhealthy if it will be full within this time at its present pace."""


def storage_probes(settings: OperationsSettings, lakehouse: Lakehouse, store: Store) -> Iterator[Probe]:
    """The checks of what holds data."""
    yield Probe("database", partial(check_database, store))
    if store.engine.dialect.name == "postgresql":
        yield Probe("clock", partial(_check_clock, store))
    yield Probe("catalog", partial(_check_catalog, lakehouse))
    yield Probe("landing zone", partial(_check_writing, settings.landing_zone))
    yield Probe("warehouse", partial(_check_writing, _warehouse(settings)))
    for names, folder in _disks(settings).values():
        component = f"disk of {', '.join(names)}"
        yield Probe(component, partial(_check_disk, settings, store, component, folder))


def check_database(store: Store) -> Found:
    """Check that the operational store answers."""
    with store.session(read_only=True) as session:
        session.execute(sa.select(1))
    return Found(f"{store.engine.dialect.name} answers")


def _check_clock(store: Store) -> Found:
    """Compare the clock of this machine with that of Postgres."""
    with store.session(read_only=True) as session:
        before = time.time()
        theirs = session.scalar(sa.text("select extract(epoch from clock_timestamp())"))
        ours = (before + time.time()) / 2
    skew = timedelta(seconds=abs(ours - float(theirs or 0)))
    if skew > MAX_SKEW:
        raise Unhealthy(
            f"the clock of this machine differs from that of the database by {skew.total_seconds():,.1f} s; use NTP on both"
        )
    return Found(f"differs from that of the database by {skew.total_seconds() * 1000:.0f} ms")


def _check_catalog(lakehouse: Lakehouse) -> Found:
    """Read the current state of each table."""
    for name in lakehouse.tables:
        lakehouse.snapshot(name)
    return Found(f"{len(lakehouse.tables)} tables can be read")


def _check_writing(place: Path | ObjectPath) -> Found:
    """Write a file, make it durable, read it back and delete it."""
    content = uuid.uuid4().hex.encode()
    file = place / f"{TEMPORARY}{content.decode()}"
    try:
        if isinstance(file, ObjectPath):
            file.put_new(content, TIMEOUT_S)
        else:
            file.write_bytes(content)
            sync_file(file)
        if file.read_bytes() != content:
            raise Unhealthy(f"a file that was written to {place} reads differently")
    finally:
        if isinstance(file, ObjectPath):
            file.delete()
        else:
            file.unlink(missing_ok=True)
    return Found("a file can be written, synced, read and deleted")


def _check_disk(settings: OperationsSettings, store: Store, component: str, folder: Path) -> Found:
    """Check how much of a disk is free, and when it will be full at the pace of the last day."""
    free, now = shutil.disk_usage(folder).free, utc_now()
    history = within(TIMEOUT_S / 2, partial(free_history, store, component, now - FORECAST_OVER), [])
    left = time_left([*history, (now, free)])
    text = f"{free / 1e9:,.1f} GB free"
    if left is not None:
        text += f", full in about {_words(left)} at the present pace"
    if free < settings.health_min_free_gb * 1e9:
        raise Unhealthy(f"{text}, less than RADAR_HEALTH_MIN_FREE_GB={settings.health_min_free_gb:g}", free)
    if left is not None and left < FULL_WITHIN:
        raise Unhealthy(text, free)
    return Found(text, free)


def time_left(history: list[tuple[datetime, int]]) -> timedelta | None:
    """When a disk will be full at its present pace, the slope of a line through its history by least squares.

    Args:
        history: free bytes by time, the latest last.

    Returns:
        None if it doesn't become fuller, or if the history is too short to tell.
    """
    if not history or history[-1][0] - history[0][0] < FORECAST_AFTER:
        return None
    times = [(at - history[0][0]).total_seconds() for at, _ in history]
    mean_time, mean_free = sum(times) / len(times), sum(free for _, free in history) / len(history)
    spread = sum((at - mean_time) ** 2 for at in times)
    slope = sum((at - mean_time) * (free - mean_free) for at, (_, free) in zip(times, history, strict=True)) / spread
    return timedelta(seconds=min(history[-1][1] / -slope, timedelta.max.total_seconds() / 2)) if slope < 0 else None


def _words(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days" if hours < 24 * 1000 else "years"


def _disks(settings: HomeSettings) -> Mapping[int, tuple[list[str], Path]]:
    """The file systems that Radar writes to, by device, with what is on them."""
    folders = {"home": settings.home, "landing zone": settings.landing_zone, "warehouse": _warehouse(settings)}
    found: dict[int, tuple[list[str], Path]] = {}
    for name, folder in folders.items():
        if isinstance(folder, Path):
            found.setdefault(folder.stat().st_dev, ([], folder))[0].append(name)
    return found


def _warehouse(settings: HomeSettings) -> Path:
    return Path(settings.warehouse.removeprefix("file://"))
