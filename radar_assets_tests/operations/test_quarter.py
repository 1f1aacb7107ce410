"""A quarter in production, compressed: late lines, rebuilds, kills, a full disk, restarts, alerts and nightly maintenance.

At the end everything is built, the tables equal those of a fresh home, and nothing has grown faster than the data. The clock leaps
between ticks. By default six days pass, and history is kept for hours. With `--quarter-days 16` or more, it is kept for as long as in
production; add `-n 0 -s` to see what is measured.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import time_machine

from radar_assets.cli import main
from radar_assets.lakehouse import history
from radar_assets.operations import compaction, maintenance
from radar_assets.settings import load_settings
from radar_assets.store.models import Alert
from radar_assets.windows import DAY, Window, utc_now
from radar_assets_tests.disks import resize
from radar_assets_tests.faults import workers
from radar_assets_tests.messaging.endpoint import Endpoint, endpoint
from radar_assets_tests.messaging.sending import KEY
from radar_assets_tests.operations.quarter import DISK_KB, START, Measured, Quarter
from radar_assets_tests.platform import Platform, instance_of

PRODUCTION_DAYS = 16
"""Days from which on the history of a week, and what waits to be swept after it, reaches its limit before the last third begins."""
SHORT_LIFETIMES: dict[str, float] = {
    "HISTORY_HOURS": 4,
    "HISTORY_DAYS": 0,
    "SWEEP_GRACE_H": 4,
    "RUN_LOGS_DAYS": 1,
    "RUNS_DAYS": 1,
}
SHORT_LIMITS = {
    (history, "METADATA_KEPT"): 3,
    (history, "SNAPSHOTS_KEPT"): 2,
    (history, "SNAPSHOTS_TOLERATED"): 3,
    (compaction, "MAX_MANIFESTS"): 2,
    (maintenance, "CACHED_FOR"): DAY,
}
"""Limits that tables otherwise reach after a week: the six days have 20 commits, and 20 states are kept whatever their age."""
MAX_SAMPLES = 30
CYCLE = 150
"""Ticks after which everything has happened once."""
LATE = 5
MAX_GROWTH = 1.25
FIGURES: dict[str, Callable[[Measured], float]] = {
    "files of the data, by partition": lambda one: one.data_files / one.partitions,
    "files and folders beside the data": lambda one: sum(one.other_files.values()),
    "bytes beside the data": lambda one: one.other_bytes,
    "bytes in databases, by file of the data": lambda one: one.database_bytes / one.data_files,
    "statements of a tick": lambda one: one.tick.statements,
    "files opened by a tick": lambda one: one.tick.files,
    "statements of radar status": lambda one: one.status.statements,
    "files opened by radar status": lambda one: one.status.files,
}
RADAR_YAML = """
channels:
  - name: hook
    type: webhook
    url: {url}
    secrets: [{key}]
rules:
  - name: busy
    metric: page_views
    window: 1h
    operator: gt
    threshold: 30
    channels: [hook]
"""


@pytest.fixture
def ticks(request: pytest.FixtureRequest) -> int:
    return int(str(request.config.getoption("--quarter-ticks")))


@pytest.fixture
def days(request: pytest.FixtureRequest) -> int:
    return int(str(request.config.getoption("--quarter-days")))


@pytest.fixture
def hook() -> Iterator[Endpoint]:
    with endpoint() as found:
        yield found


@pytest.fixture
def quarter(days: int, hook: Endpoint, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quarter]:
    """A platform with a rule that messages `hook`, on a disk of its own."""
    resize(small_disk, DISK_KB)
    home = small_disk / "radar"
    # Before the environment is set, which the processes of other tests would inherit.
    workers.start_forkserver()
    lifetimes = {"RUNS_DAYS": days / 4} if days >= PRODUCTION_DAYS else SHORT_LIFETIMES
    if days < PRODUCTION_DAYS:
        for (module, name), value in SHORT_LIMITS.items():
            monkeypatch.setattr(module, name, value)
    fixed = {"HOME": home, "START_DATE": START.date(), "ALLOWED_HOSTS": "127.0.0.1"}
    for name, value in {**fixed, **lifetimes}.items():
        monkeypatch.setenv(f"RADAR_{name}", str(value))
    settings = load_settings().prepare()
    (home / "radar.yaml").write_text(RADAR_YAML.format(url=hook.url, key=KEY))
    with pytest.raises(SystemExit, match="0"):
        main(["apply", "--yes"])
    found = Quarter(settings, small_disk)
    logging.disable(logging.CRITICAL)
    yield found
    logging.disable(logging.NOTSET)
    found.close()


def test_a_quarter_passes_and_nothing_is_lost_or_grows(
    quarter: Quarter, ticks: int, days: int, hook: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, plan, measured = min(days, MAX_SAMPLES), planned(ticks), list[Measured]()
    for number in range(ticks):
        quarter.leap(START + days * DAY * (number + 1) / (ticks + 1))
        late = timedelta(hours=quarter.dice.uniform(1, 72)) if number % 8 == LATE else None
        quarter.send(is_busy=number in plan["busy"], late=late)
        if number in plan["busy"]:
            quarter.tick()
            quarter.leap(Window.of_hour(utc_now()).end + timedelta(minutes=6))
            quarter.judge()
        if number in plan["restart"]:
            quarter.restart()
        if number in plan["kill"]:
            quarter.kill()
        if number in plan["full disk"]:
            quarter.fill_disk()
        if number in plan["rebuild"]:
            quarter.rebuild(days_ago=2)
        quarter.tick()
        quarter.judge()
        if (number + 1) * samples // ticks > number * samples // ticks:
            quarter.settle()
            measured.append(quarter.measure())
            print(json.dumps(asdict(measured[-1])), flush=True)
    check_growth(measured)
    check_alerts(quarter, hook, len(plan["busy"]))
    check_equal_to_a_rebuild(quarter, tmp_path, monkeypatch)


def planned(ticks: int) -> dict[str, set[int]]:
    """The ticks at which something happens, different ones for each kind, so that one fault doesn't hide another."""
    length = min(ticks, CYCLE)
    starts = range(0, ticks - length + 1, length)

    def at(*twelfths: int) -> set[int]:
        return {start + length * twelfth // 12 for start in starts for twelfth in twelfths}

    restarts = {ticks // 4, 3 * ticks // 4}
    # Rebuilds leave the most behind, so there is one in the second third as well as in the last.
    return {"busy": at(2, 8), "kill": at(4), "full disk": at(6), "rebuild": at(5, 10), "restart": restarts}


def check_growth(measured: list[Measured]) -> None:
    """What there is beside the data has not grown over the last third, and neither has what ticks and `radar status` take."""
    third = len(measured) // 3
    before, last = measured[-2 * third : -third], measured[-third:]
    for name, figure in FIGURES.items():
        grown = max(map(figure, last)) / max(map(figure, before))
        kinds = [one.other_files for one in measured]
        assert grown <= MAX_GROWTH, f"{name}: {[round(figure(one), 2) for one in measured]}, of {kinds}"


def check_alerts(quarter: Quarter, hook: Endpoint, fired: int) -> None:
    """Each busy hour has fired one alert, which has recovered, and both were told once."""
    with quarter.platform.store.session(read_only=True) as session:
        states = Counter(session.scalars(sa.select(Alert.state)))
    assert states == {"resolved": fired}
    assert len(hook.ids) == len(set(hook.ids))
    assert Counter(body["type"] for _, body in hook.received) == {"alert.fired": fired, "alert.recovered": fired}


def check_equal_to_a_rebuild(quarter: Quarter, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are those of a fresh home with the same landing zone."""
    tables, now = quarter.platform.tables(), utc_now()
    assert {row["event_id"] for row in tables["events"]} == quarter.sent
    quarter.close()
    monkeypatch.setenv("RADAR_HOME", str(folder / "fresh"))
    fresh = load_settings().prepare()
    shutil.copytree(quarter.settings.landing, fresh.landing, dirs_exist_ok=True)
    with time_machine.travel(now.replace(tzinfo=UTC), tick=True), instance_of(fresh) as instance:
        platform = Platform(fresh, instance)
        platform.settle()
        rebuilt = platform.tables()
    del tables["alerts"], rebuilt["alerts"]
    assert {name: len(rows) for name, rows in tables.items()} == {name: len(rows) for name, rows in rebuilt.items()}
    for name, rows in tables.items():
        assert rows == rebuilt[name], name
