"""Overlapping runs give the same result as running one after the other."""

import shutil
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import time_machine

from radar_assets.windows import DAY
from radar_assets_tests.faults import workers

HOURS, EVENTS = 12, 4_000


@pytest.fixture(autouse=True)
def the_day_after() -> Iterator[None]:
    """Otherwise all days until today would be built as well."""
    with time_machine.travel(workers.START + DAY, tick=True):
        yield


def test_two_overlapping_backfills_and_a_live_tick_equal_the_serial_result(tmp_path: Path) -> None:
    serial = workers.open_platform(tmp_path / "serial", tmp_path / "serial-instance")
    workers.land_traffic(serial, HOURS, EVENTS)
    last = workers.hour_key(HOURS - 1)
    serial.rebuild("hourly_job", workers.hour_key(0), last)
    serial.settle()

    home = tmp_path / "at-once"
    at_once = workers.open_platform(home, tmp_path / "instance")
    shutil.copytree(serial.settings.landing, at_once.settings.landing, dirs_exist_ok=True)
    forks = workers.context()
    ranges = [(0, 8), (4, HOURS - 1)]
    ready = [forks.Event() for _ in range(3)]
    processes = [
        forks.Process(
            target=workers.rebuild,
            args=(
                home,
                tmp_path / f"instance-{index}",
                "hourly_job",
                workers.hour_key(low),
                workers.hour_key(high),
                ready[index].set,
            ),
        )
        for index, (low, high) in enumerate(ranges)
    ]
    processes.append(forks.Process(target=_live, args=(home, tmp_path / "instance-live", ready[2])))
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    at_once.settle()
    assert at_once.tables() == serial.tables()


def _live(home: Path, instance: Path, ready: Event) -> None:
    platform = workers.open_platform(home, instance)
    ready.set()
    for sensor, job in (("landing_sensor", "hourly_job"), ("stale_hours_sensor", "hourly_job")):
        for request in platform.tick(sensor):
            platform.execute(job, request)
