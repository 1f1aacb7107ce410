"""A quarter in production, compressed: late lines, rebuilds, kills, a full disk, restarts, alerts and nightly maintenance.

At the end everything is built, the tables equal those of a fresh home, and nothing has grown faster than the data. The clock leaps
between ticks. By default six days pass, with shorter lifetimes. With `--quarter-ticks 6000`, or at least 600, 90 days pass; add
`-n 0 -s` to see what is measured.
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
from radar_assets.settings import load_settings
from radar_assets.store.models import Alert
from radar_assets.windows import DAY, Window, utc_now
from radar_assets_tests.disks import resize
from radar_assets_tests.faults import workers
from radar_assets_tests.messaging.endpoint import Endpoint, endpoint
from radar_assets_tests.messaging.sending import KEY
from radar_assets_tests.operations.quarter import DISK_KB, START, Measured, Quarter
from radar_assets_tests.platform import Platform, instance_of

LONG = 600
DAYS, SHORT_DAYS = 90, 6
LIFETIMES = {"RUNS_DAYS": 30}
SHORT_LIFETIMES = {"HISTORY_HOURS": 4, "HISTORY_DAYS": 0, "SWEEP_GRACE_H": 4, "RUN_LOGS_DAYS": 1, "RUNS_DAYS": 1}
"""Short enough that what they limit is at its limit before the last third begins."""
SAMPLES = 9
CYCLE = 150
"""Ticks after which everything has happened once."""
LATE = 5
MAX_GROWTH = 1.25
FIGURES: dict[str, Callable[[Measured], float]] = {
    "bytes in databases, by file of the data": lambda one: one.database_bytes / one.data_files,
    "statements of a tick": lambda one: one.tick.statements,
    "files opened by a tick": lambda one: one.tick.files,
    "statements of radar status": lambda one: one.status.statements,
    "files opened by radar status": lambda one: one.status.files,
}
LONG_FIGURES: dict[str, Callable[[Measured], float]] = {
    "bytes beside the data": lambda one: one.other_bytes,
    "files beside the data": lambda one: one.other_files,
}
"""Flat only once tables have more history than the 20 states that are kept whatever their age."""
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
    return int(request.config.getoption("--quarter-ticks") or 18)


@pytest.fixture
def hook() -> Iterator[Endpoint]:
    with endpoint() as found:
        yield found


@pytest.fixture
def quarter(ticks: int, hook: Endpoint, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quarter]:
    """A platform with a rule that messages `hook`, on a disk of its own."""
    resize(small_disk, DISK_KB)
    home = small_disk / "radar"
    # Before the environment is set, which the processes of other tests would inherit.
    workers.start_forkserver()
    for name, value in {
        "HOME": home,
        "START_DATE": START.date(),
        "ALLOWED_HOSTS": "127.0.0.1",
        **(LIFETIMES if ticks >= LONG else SHORT_LIFETIMES),
    }.items():
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
    quarter: Quarter, ticks: int, hook: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days, samples = (DAYS, SAMPLES) if ticks >= LONG else (SHORT_DAYS, SHORT_DAYS)
    plan, measured = planned(ticks), list[Measured]()
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

    def at(*sixths: int) -> set[int]:
        return {start + length * sixth // 6 for start in starts for sixth in sixths}

    restarts = {ticks // 4, 3 * ticks // 4}
    return {"busy": at(1, 4), "kill": at(2), "full disk": at(3), "rebuild": at(5), "restart": restarts}


def check_growth(measured: list[Measured]) -> None:
    """What there is beside the data has not grown over the last third, and neither has what ticks and `radar status` take."""
    third, is_long = len(measured) // 3, len(measured) == SAMPLES
    before, last = measured[-2 * third : -third], measured[-third:]
    for name, figure in {**FIGURES, **(LONG_FIGURES if is_long else {})}.items():
        grown = max(map(figure, last)) / max(map(figure, before))
        assert grown <= MAX_GROWTH, f"{name}: {[round(figure(one)) for one in measured]}"


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
