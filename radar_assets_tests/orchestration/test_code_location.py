"""A daemon that can't load the definitions is told from one that was stopped or has just been started."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat

from radar_assets.lakehouse.files import EPOCH
from radar_assets.orchestration.runtime.code_location import problem
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.platform import instance_of, remote_origin

NOON = datetime(2026, 3, 10, 12)
SENSOR = RemoteInstigatorOrigin(remote_origin("any").repository_origin, "sensor")


@pytest.fixture(params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    if request.param == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
    with instance_of(load_settings()) as instance:
        data = SensorInstigatorData(min_interval=30)
        instance.add_instigator_state(InstigatorState(SENSOR, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data))
        yield instance


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def beat(instance: dg.DagsterInstance, daemon: str, *minutes: float) -> None:
    for minute in minutes:
        instance.add_daemon_heartbeat(DaemonHeartbeat((at(minute) - EPOCH).total_seconds(), "SENSOR", daemon))


def tick(instance: dg.DagsterInstance, minute: float) -> None:
    when, origin = (at(minute) - EPOCH).total_seconds(), SENSOR.get_id()
    kind = InstigatorType.SENSOR
    (state,) = instance.all_instigator_state(instigator_type=kind)
    instance.create_tick(TickData(origin, "sensor", kind, TickStatus.SKIPPED, when, selector_id=state.selector_id))


def test_a_daemon_without_ticks_can_not_load_the_definitions(instance: dg.DagsterInstance) -> None:
    beat(instance, "first", 0)
    assert problem(instance, at(10)) is None, "no sensor has ever ticked"
    tick(instance, 0)
    beat(instance, "first", 3)
    assert problem(instance, at(3)) is None
    beat(instance, "first", 3.5)
    assert "no sensor has ticked since 2026-03-10 12:00 UTC" in str(problem(instance, at(3.5)))
    assert problem(instance, at(9)) is None, "the daemon was stopped"


def test_a_daemon_that_was_just_stopped_or_started_is_fine(instance: dg.DagsterInstance) -> None:
    beat(instance, "first", 0)
    tick(instance, 0)
    assert problem(instance, at(4)) is None, "it was stopped at noon"
    beat(instance, "second", 60, 60.5)
    assert problem(instance, at(60.6)) is None, "it was started at one o'clock"
    beat(instance, "second", 63, 63.5)
    assert "no sensor has ticked since 2026-03-10 12:00 UTC" in str(problem(instance, at(63.6)))
