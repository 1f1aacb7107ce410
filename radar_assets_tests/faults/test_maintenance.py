"""Maintenance beside commits and readers loses nothing and disturbs nobody, and a killed one is finished by the next."""

import random
import time
from collections import Counter
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from radar_assets.lakehouse.commits import Build
from radar_assets.lakehouse.files import Origin
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.operations.maintenance import MaintenanceError, maintain
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window, utc_now
from radar_assets_tests.faults import workers
from radar_assets_tests.lakehouse.numbers import DAY, build_files, read, write

WRITERS, COMMITS, READERS = 2, 50, 2
"""Processes, and commits of each writer."""
GRACE = timedelta(seconds=15)
"""Far longer than a read takes here."""


def open_home(home: Path) -> Lakehouse:
    return open_lakehouse(load_settings(home=home, threads=2, memory="512MB").prepare())


def append(lakehouse: Lakehouse, hour: int, value: float, files: int = 1) -> None:
    """Add files with a row each to an hour."""
    window = Window.of_hour(DAY + hour * HOUR)

    def build(_: Snapshot) -> Build:
        return Build(
            [file for _ in range(files) for file in build_files(lakehouse, window, value, 1)], {window: Origin()}
        )

    lakehouse.catalog.commit("hourly_metrics", build, replace=False)


def folder_of(lakehouse: Lakehouse) -> Path:
    return lakehouse.catalog.data_folder(lakehouse.tables["hourly_metrics"]).parent


def write_values(home: Path, writer: int) -> None:
    """Append to one hour, which all writers share, and rebuild another."""
    lakehouse = open_home(home)
    for number in range(COMMITS // 2):
        time.sleep(random.uniform(0, 0.5))
        append(lakehouse, 0, writer * COMMITS + number)
        write(lakehouse, Window.of_hour(DAY + (1 + writer) * HOUR), number, projects=1)


def read_values(home: Path, stop: Event) -> None:
    """Read snapshots a while after they were taken."""
    lakehouse, seen = open_home(home), 0
    while not stop.is_set():
        snapshot = lakehouse.snapshot("hourly_metrics")
        time.sleep(random.uniform(0, 0.5))
        appended = [value for hour, _, value in read(lakehouse, snapshot) if hour == DAY]
        assert len(set(appended)) == len(appended) >= seen
        seen = len(appended)


def test_commits_and_readers_beside_maintenance_lose_nothing_and_never_fail(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lakehouse = open_home(home)
    append(lakehouse, 0, -1)
    forks = workers.context()
    stop = forks.Event()
    readers = [forks.Process(target=read_values, args=(home, stop)) for _ in range(READERS)]
    writers = [forks.Process(target=write_values, args=(home, writer)) for writer in range(WRITERS)]
    for process in (*readers, *writers):
        process.start()
    done = []
    deadline = time.monotonic() + 240
    while any(process.is_alive() for process in writers) and time.monotonic() < deadline:
        done.append(maintain(lakehouse, "hourly_metrics", utc_now(), GRACE))
    stop.set()
    for process in (*readers, *writers):
        process.join(60)
        assert process.exitcode == 0

    assert sum(each.compacted.merged for each in done) > COMMITS / 2
    rows = Counter(read(open_home(home)))
    appended = {
        -1.0,
        *(float(writer * COMMITS + number) for writer in range(WRITERS) for number in range(COMMITS // 2)),
    }
    assert rows == Counter(
        [
            *((DAY, "p0", value) for value in appended),
            *((DAY + (1 + writer) * HOUR, "p0", float(COMMITS // 2 - 1)) for writer in range(WRITERS)),
        ]
    )
    table = open_home(home).snapshot("hourly_metrics")
    assert all(Path(ref.local_path).exists() for ref in table.files())

    last = maintain(lakehouse, "hourly_metrics", utc_now() + 2 * GRACE, GRACE)
    last = maintain(lakehouse, "hourly_metrics", utc_now() + 4 * GRACE, GRACE)
    on_disk = sum(path.stat().st_size for path in folder_of(lakehouse).rglob("*") if path.is_file())
    assert on_disk <= 1.1 * (last.swept.live.size_bytes + last.swept.kept.size_bytes)
    assert Counter(read(open_home(home))) == rows


def run_maintenance(home: Path, ready: Event) -> None:
    lakehouse = open_home(home)
    lakehouse.snapshot("hourly_metrics")
    ready.set()
    maintain(lakehouse, "hourly_metrics", utc_now(), timedelta(0))


def test_a_killed_maintenance_is_finished_by_the_next(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills = int(request.config.getoption("--kills") or 1)
    home = tmp_path / "home"
    lakehouse = open_home(home)
    forks = workers.context()
    dice = random.Random(1)
    longest, died, attempts = 0.5, 0, 0
    expected: list[tuple[object, ...]] = []
    while died < kills and attempts < 10 * kills:
        attempts += 1
        for number in range(20):
            append(lakehouse, attempts % 12, attempts, files=2)
            write(lakehouse, Window.of_hour(DAY + 20 * HOUR), number, projects=1)
        expected = list(read(lakehouse))
        changes = lakehouse.snapshot("hourly_metrics").changes()
        ready = forks.Event()
        process = forks.Process(target=run_maintenance, args=(home, ready))
        process.start()
        assert ready.wait(60)
        moment = dice.uniform(0, longest)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode == -9:
            died += 1
        else:
            longest = moment
        lakehouse = open_home(home)
        assert read(lakehouse) == expected
        assert lakehouse.snapshot("hourly_metrics").changes() == changes
    assert died == kills

    for _ in range(2):  # the second one deletes what the first one wrote and replaced while it merged files
        maintain(lakehouse, "hourly_metrics", utc_now(), timedelta(0))
    last = maintain(lakehouse, "hourly_metrics", utc_now(), timedelta(0))
    assert (last.compacted.merged, last.swept.unreached.files, last.swept.deleted.files) == (0, 0, 0)
    assert read(open_home(home)) == expected
    assert lakehouse.snapshot("hourly_metrics").changes() == changes
    assert not lakehouse.snapshot("hourly_metrics").recoveries


def test_two_maintenances_of_a_table_do_not_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lakehouse = open_home(tmp_path / "home")
    write(lakehouse, Window.of_hour(DAY), 1.0)
    seen = []

    def again(*_: object, **__: object) -> None:
        with pytest.raises(MaintenanceError, match="running already"):
            maintain(open_home(tmp_path / "home"), "hourly_metrics", utc_now(), GRACE)
        seen.append(True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("radar_assets.operations.maintenance.sweep", again)
        with pytest.raises(KeyboardInterrupt):
            maintain(lakehouse, "hourly_metrics", utc_now(), GRACE)
    assert seen
    maintain(lakehouse, "hourly_metrics", utc_now(), GRACE)
