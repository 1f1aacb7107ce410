"""The platform at work on a disk, and what is found on that disk after a power cut, each in a process of its own."""

import ctypes
import json
import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from radar_assets.lakehouse.recoveries import DamagedTableError
from radar_assets.settings import load_settings
from radar_assets_tests.faults.senders import recovered
from radar_assets_tests.platform import Platform, instance_of

SENSORS = {"landing_sensor": "hourly_job", "stale_hours_sensor": "hourly_job", "stale_days_sensor": "daily_job"}
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


class Found(NamedTuple):
    """What was found after a power cut.

    Attributes:
        landed: ids of the events in the landing zone.
        damaged: tables that lost commits.
        loaded: ids of the events in the tables, once all is built; None if that was left out.
    """

    landed: set[int]
    damaged: set[str]
    loaded: set[int] | None


def operate(home: Path, is_synced: bool, started: Connection) -> None:
    """Load and build what lands in a home, with Dagster's own databases, until the process is killed."""
    if not is_synced:
        os.fsync = os.fdatasync = lambda _: None
    with _platform(home) as platform:
        while True:
            for sensor, job in SENSORS.items():
                for request in platform.tick(sensor):
                    platform.execute(job, request)
                    started.send(job)


def look(home: Path, disk: Path, remains: Path, is_synced: bool, is_rebuilt: bool, answer: Connection) -> None:
    """Look at a home on a disk whose remains are mounted elsewhere, as if they were the disk. Other processes keep theirs.

    Args:
        is_synced: whether the home was, so that each segment has to be complete.
        is_rebuilt: whether to load what landed first.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--bind", str(remains), str(disk)], check=True)
    for database in home.rglob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)], database
    landed = recovered(home / "landing") if is_synced else _readable(home / "landing")
    damaged, loaded = set[str](), None
    with _platform(home) as platform:
        for name in platform.lakehouse.tables:
            try:
                if any(recovery.last >= recovery.first for recovery in platform.lakehouse.snapshot(name).recoveries):
                    damaged.add(name)
                platform.rows(name)
            except DamagedTableError:
                damaged.add(name)
        if is_rebuilt:
            platform.settle()
            loaded = {int(row["event_id"]) for row in platform.rows("events")}
    answer.send(Found(landed, damaged, loaded))


def _readable(landing: Path) -> set[int]:
    """The ids in a landing zone whose segments may be torn."""
    found = set()
    for segment in (*landing.glob("dt=*/hr=*/*.ndjson"), *landing.glob(".open/*")):
        for line in segment.read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                found.add(int(json.loads(line)["event_id"]))
    return found


@contextmanager
def _platform(home: Path) -> Iterator[Platform]:
    logging.disable(logging.CRITICAL)
    os.environ["RADAR_HOME"] = str(home)
    settings = load_settings().prepare()
    with instance_of(settings) as instance:
        yield Platform(settings, instance)
