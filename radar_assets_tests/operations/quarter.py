"""A platform that is driven through months under a clock that leaps: what happens to it, and what it costs meanwhile."""

import io
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import sqlalchemy as sa
import time_machine
from sqlalchemy.event import listen, remove

from radar_assets.cli import main
from radar_assets.lakehouse import snapshot
from radar_assets.settings import Settings
from radar_assets.windows import DAY, HOUR, day_key, hour_key, utc_now
from radar_assets_tests.disks import resize, used_kb
from radar_assets_tests.faults import operating, workers
from radar_assets_tests.platform import Platform, event, instance_of, save_cursor

START = datetime(2026, 3, 2)
"""In the past, because files carry the real time until `Quarter` dates them."""
EVENTS, BUSY = 6, 60
"""Events of an ordinary tick, and of one that fires the alert."""
MAINTAINED_AT = timedelta(hours=3)
JOBS = {
    "landing_sensor": "hourly_job",
    "stale_hours_sensor": "hourly_job",
    "stale_days_sensor": "daily_job",
    "stale_alerts_sensor": "alerts_job",
    "deliver_alerts": "deliver_alerts_job",
}
DISK_KB = 4 * 2**20
POLLS = 200
ROUNDS = 20
"""Rounds of ticks, a while apart, in which everything has to be built. Pauses between attempts grow to half an hour."""


@dataclass
class Cost:
    """What something took: SQL statements on all databases, opened files, and CPU seconds."""

    statements: int = 0
    files: int = 0
    cpu_s: float = 0


@dataclass(frozen=True)
class Measured:
    """The platform at one moment.

    Attributes:
        day: of the quarter.
        data_bytes, data_files: the landing zone, and the current files of the tables.
        partitions: of all tables.
        other_bytes, other_files: all else in the home but the databases, by kind: metadata, history, and what waits to be swept.
        database_bytes: what the store and Dagster's storage hold, without the free space in their files.
        disk_bytes: all files of the home, databases with their free space.
        tick: a round of all sensors in a new process, with nothing to do.
        status: `radar status` in a new process, without its imports.
    """

    day: float
    data_bytes: int
    data_files: int
    partitions: int
    other_bytes: int
    other_files: dict[str, int]
    database_bytes: int
    disk_bytes: int
    tick: Cost
    status: Cost


class Quarter:
    """A platform in production.

    Args:
        disk: the file system that its home is on.
    """

    def __init__(self, settings: Settings, disk: Path) -> None:
        self.settings, self.disk, self.dice = settings, disk, random.Random(1)
        self.sent: set[str] = set()
        self.runs = 0
        self._maintained = START
        self._stack = ExitStack()
        self._cursors: dict[str, str | None] = {}
        self._seen: set[str] = set()
        self._start(START)

    def _start(self, now: datetime) -> None:
        self._clock = self._stack.enter_context(time_machine.travel(now.replace(tzinfo=UTC), tick=True))
        instance = self._stack.enter_context(instance_of(self.settings))
        # Cursors and run keys are in the daemon's database, which this platform does without.
        self.platform = Platform(self.settings, instance, cursors=self._cursors, seen=self._seen)

    def close(self) -> None:
        """Close the platform, and return to the present."""
        self.platform.store.close()
        self._stack.close()

    def restart(self) -> None:
        """Stop everything, and start it again."""
        now = utc_now()
        self.close()
        self._start(now)

    def leap(self, moment: datetime) -> None:
        """Go on to a later moment, with the maintenance of the nights until then."""
        while (night := self._maintained + DAY + MAINTAINED_AT) <= moment:
            self._move_to(night)
            job = self.platform.defs.resolve_job_def("maintenance_job")
            assert job.execute_in_process(instance=self.platform.instance).success
            self._maintained += DAY
        self._move_to(moment)

    def _move_to(self, moment: datetime) -> None:
        self._date_files()
        if moment > utc_now():
            self._clock.move_to(moment.replace(tzinfo=UTC))

    def _date_files(self) -> None:
        """Give files that were written since the last leap the time of the clock, by which maintenance tells their age."""
        now = time.time()
        for path in (self.settings.home, *self.settings.home.rglob("*")):
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime > now + 1:
                    os.utime(path, (now, now))

    def send(self, *, is_busy: bool = False, late: timedelta | None = None) -> None:
        """Land a segment as the collector does: events of now, the first one late if so asked, and at times a broken line."""
        now = utc_now()
        lines: list[Mapping[str, Any] | bytes] = []
        for number in range(BUSY if is_busy else EVENTS):
            at = max(START, now - late) if late and number == 0 else now
            id, visitor = f"{now:%m%dT%H%M%S}-{number}", f"v{self.dice.randrange(200)}"
            lines.append(event(id, at, now, anonymous_id=visitor, project_id="shop" if number % 3 else "blog"))
            self.sent.add(id)
        if self.dice.random() < 0.1:
            lines.append(b"not json\n")
        self.platform.land(now, lines, f"{now:%m%dT%H%M%S}")

    def tick(self, *, raise_on_error: bool = True) -> int:
        """Tick all sensors once, and run what they request. Returns the number of runs."""
        runs = 0
        for sensor, job in JOBS.items():
            for request in self.platform.tick(sensor):
                self.platform.execute(job, request, raise_on_error=raise_on_error)
                runs += 1
        self.runs += runs
        return runs

    def judge(self) -> None:
        """Judge the rules, as the schedule does after each hour."""
        job = self.platform.defs.resolve_job_def("monitor_thresholds_job")
        assert job.execute_in_process(instance=self.platform.instance).success

    def rebuild(self, days_ago: int) -> None:
        """Rebuild a day of the past, as a backfill does."""
        day = max(START, datetime(*utc_now().timetuple()[:3]) - days_ago * DAY)
        self.platform.rebuild("hourly_job", hour_key(day), hour_key(day + 23 * HOUR))
        self.platform.rebuild("daily_job", day_key(day.date()), day_key(day.date()))

    def kill(self) -> None:
        """Kill a process that ticks the sensors, in the middle of one of its runs."""
        environment = {name: value for name, value in os.environ.items() if name.startswith("RADAR_")}
        forks = workers.context()
        _, started = forks.Pipe(duplex=False)
        process = forks.Process(target=_operate, args=(environment, utc_now(), started))
        process.start()
        child = psutil.Process(process.pid)
        for _ in range(POLLS):
            time.sleep(self.dice.uniform(0.01, 0.3))
            child.suspend()
            if self._unfinished():
                break
            child.resume()
        process.kill()
        process.join()
        assert self._unfinished()
        self._fail_unfinished()

    def fill_disk(self) -> None:
        """Tick while the disk is full."""
        before, known = self.platform.rows("events"), self.platform.seen.copy()
        resize(self.disk, used_kb(self.disk))
        with suppress(Exception):  # where runs fail, and where Dagster can't record that
            self.tick(raise_on_error=False)
        resize(self.disk, DISK_KB)
        self._fail_unfinished()
        self.platform.seen &= known  # the daemon finds run keys by the runs, which could not be created
        assert self.platform.rows("events") == before

    def _unfinished(self) -> Sequence[dg.DagsterRun]:
        return self.platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))

    def _fail_unfinished(self) -> None:
        """Record runs whose process is gone as failed, like the daemon's monitoring."""
        for run in self._unfinished():
            self.platform.instance.report_run_failed(run)

    def settle(self) -> None:
        """Go on until everything is built and told."""
        for _ in range(ROUNDS):
            self.leap(utc_now() + timedelta(minutes=20))
            self.judge()
            if not self.tick():
                return
        raise AssertionError("runs are still requested")

    def measure(self) -> Measured:
        """Measure the platform."""
        self._date_files()
        home, lakehouse = self.settings.home, self.platform.lakehouse
        refs = [(name, ref) for name in lakehouse.tables for ref in lakehouse.snapshot(name).files()]
        data = _files((home / "landing").rglob("*")) | _files(Path(ref.local_path) for _, ref in refs)
        databases, everything = _files(home.rglob("*.db*")), _files(home.rglob("*"))
        others = everything.keys() - data.keys() - databases.keys()
        # Folders take an inode as well. Those of the data are as many as its partitions.
        folders = {path for path in home.rglob("*") if path.is_dir()}
        folders -= {parent for path in data for parent in path.parents}
        used = sum(map(_used, home.rglob("*.db")))
        with _fresh(), _counted() as tick:
            platform = Platform(self.settings, self.platform.instance, cursors=self._cursors.copy())
            requests = [request for sensor in JOBS for request in platform.tick(sensor)]
        save_cursor(self.platform.instance, "landing_sensor", self._cursors["landing_sensor"])
        with _fresh(), _counted() as status, redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as exit:
            main(["status"])
        assert (requests, exit.value.code) == ([], 0)
        return Measured(
            day=(utc_now() - START) / DAY,
            data_bytes=sum(data.values()),
            data_files=len(data),
            partitions=len({(name, ref.partition) for name, ref in refs}),
            other_bytes=sum(map(everything.__getitem__, others)),
            other_files={**Counter(map(_kind, others)), "folders": len(folders)},
            database_bytes=used,
            disk_bytes=sum(everything.values()),
            tick=tick,
            status=status,
        )


def _operate(environment: Mapping[str, str], now: datetime, started: Connection) -> None:
    """Work in a home until the process is killed."""
    os.environ.update(environment)
    with time_machine.travel(now.replace(tzinfo=UTC), tick=True):
        operating.operate(Path(environment["RADAR_HOME"]), True, started)


def _files(paths: Iterable[Path]) -> dict[Path, int]:
    """The files among the paths, with their sizes."""
    return {path: path.stat().st_size for path in paths if path.is_file()}


def _kind(path: Path) -> str:
    """What a file beside the data is."""
    if path.name.endswith(".metadata.json"):
        return "metadata"
    if path.suffix == ".avro":
        return "manifest lists" if path.name.startswith("snap-") else "manifests"
    return "replaced data" if path.suffix == ".parquet" and "cache" not in path.parts else "others"


@contextmanager
def _fresh() -> Iterator[None]:
    """As in a new process: without the manifests that this one has read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_manifests", {})
        yield


def _used(database: Path) -> int:
    """How much of a SQLite file is in use."""
    with closing(sqlite3.connect(database)) as connection:
        pages, free, size = (
            connection.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


_counting: list[Cost] = []


@cache
def _hook() -> None:
    sys.addaudithook(_count_file)  # once, because hooks can't be removed


def _count_file(name: str, _arguments: object) -> None:
    if name == "open":
        for cost in _counting:
            cost.files += 1


def _count_statement(*_arguments: object) -> None:
    for cost in _counting:
        cost.statements += 1


@contextmanager
def _counted() -> Iterator[Cost]:
    """What the block takes."""
    _hook()
    cost, began = Cost(), time.process_time()
    listen(sa.Engine, "before_cursor_execute", _count_statement)
    _counting.append(cost)
    yield cost
    _counting.remove(cost)
    remove(sa.Engine, "before_cursor_execute", _count_statement)
    cost.cpu_s = time.process_time() - began
