"""The next run repairs everything that a killed run leaves behind, whenever it was killed."""

import random
import shutil
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from radar_assets_tests.faults import workers

HOURS, EVENTS = 8, 4_000


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills") or 1)


def test_killed_runs_and_one_more_equal_an_undisturbed_one(tmp_path: Path, kills: int) -> None:
    calm = workers.open_platform(tmp_path / "calm", tmp_path / "calm-instance")
    workers.land_traffic(calm, HOURS, EVENTS)
    began = time.monotonic()
    first, last = workers.hour_key(0), workers.hour_key(HOURS - 1)
    calm.rebuild("hourly_job", first, last)
    calm.rebuild("daily_job", "2026-03-01", "2026-03-01")
    longest = time.monotonic() - began
    expected = calm.tables()
    assert len(expected["events"]) > EVENTS / 10

    home, instance = tmp_path / "killed", tmp_path / "killed-instance"
    killed = workers.open_platform(home, instance)
    shutil.copytree(calm.settings.landing, killed.settings.landing, dirs_exist_ok=True)
    forks = workers.context()
    dice = random.Random(1)
    died = attempts = 0
    while died < kills and attempts < 10 * kills:
        attempts += 1
        ready = forks.Event()
        process = forks.Process(target=_both, args=(home, instance, first, last, ready))
        process.start()
        assert ready.wait(60)
        moment = dice.uniform(0, longest)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode == -9:
            died += 1
        else:
            longest = moment  # faster than the first one, which filled caches
    assert died == kills
    killed.rebuild("hourly_job", first, last)
    killed.rebuild("daily_job", "2026-03-01", "2026-03-01")
    assert killed.tables() == expected


def _both(home: Path, instance: Path, first: str, last: str, ready: Event) -> None:
    workers.rebuild(home, instance, "hourly_job", first, last, ready.set)
    workers.rebuild(home, instance, "daily_job", "2026-03-01", "2026-03-01", lambda: None)
