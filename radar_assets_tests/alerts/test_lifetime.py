"""Alerts leave the store when they are old, and the table of alerts keeps them."""

from collections.abc import Iterator

import dagster as dg
import pytest
import sqlalchemy as sa

from radar_assets.alerts import records
from radar_assets.orchestration.automation import INCREMENTAL
from radar_assets.settings import Settings
from radar_assets.store.database import Store
from radar_assets.store.models import AlertHour
from radar_assets_tests.alerts.records import alerts, at, breaches, note, rule
from radar_assets_tests.platform import Platform

HOURS = "2026-03-10-00:00", "2026-03-10-05:00"


def fired(store: Store) -> list[int]:
    """The hours at which the alerts in the store fired, counted from the start of the tests' day."""
    return [alert.fired_at.hour for alert in alerts(store)]


def test_alerts_are_removed_when_they_ended_and_open_ones_stay(store: Store) -> None:
    note(store, rule(), {0: 50, 1: 50, 2: 0}, at(3))
    note(store, rule(name="same_hour"), {0: 50}, at(3))
    note(store, rule(name="open"), {1: 50}, at(3))
    note(store, rule(), {2: 0, 3: 50, 4: 0}, at(5))
    note(store, rule(), {4: 0, 5: 50, 6: 0}, at(7))
    assert fired(store) == [0, 3, 5, 1, 0]
    assert records.remove_old(store, at(5.5)) == 1, "the alerts at midnight stay, because one of them is open"
    assert fired(store) == [0, 5, 1, 0]
    note(store, rule(name="same_hour"), {0: 50, 1: 0}, at(6))
    assert records.remove_old(store, at(7)) == 2
    assert fired(store) == [5, 1]
    assert all(breaches(store, alert) for alert in alerts(store))


def test_alerts_that_ended_without_data_are_removed_too(store: Store) -> None:
    note(store, rule(), {0: 50}, at(1))
    note(store, rule(name="same_hour"), {0: 50, 1: 0}, at(2))
    note(store, rule(), dict.fromkeys(range(1, 80)), at(80))
    assert [alert.state for alert in alerts(store)] == ["ended_without_data", "resolved"]
    assert records.remove_old(store, at(81)) == 2


def test_versions_of_hours_never_go_back(store: Store) -> None:
    note(store, rule(), {0: 50, 1: 0}, at(2))
    with store.session(read_only=True) as session:
        before = session.scalar(sa.select(sa.func.max(AlertHour.version)))
    assert records.remove_old(store, at(24)) == 1
    with store.session(read_only=True) as session:
        assert session.scalar(sa.select(sa.func.max(AlertHour.version))) == before


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


@pytest.mark.parametrize("removed", [1, 2])
def test_the_table_keeps_alerts_that_the_store_has_removed(platform: Platform, removed: int) -> None:
    note(platform.store, rule(), {0: 50, 1: 0}, at(2))
    note(platform.store, rule(), {2: 0, 3: 50, 4: 0}, at(5))
    platform.rebuild("alerts_job", *HOURS)
    before = platform.rows("alerts")
    assert len(before) == 2
    assert records.remove_old(platform.store, at({1: 2.5, 2: 24}[removed])) == removed
    # The store is to keep alerts for longer now, so that it might have those of these hours.
    longer = Platform(platform.settings.model_copy(update={"alerts_days": 10_000}), platform.instance)
    for tags in (INCREMENTAL, {}):
        longer.rebuild("alerts_job", *HOURS, tags=tags)
        assert longer.rows("alerts") == before


def test_a_rebuild_drops_alerts_that_late_data_have_cleared(platform: Platform) -> None:
    note(platform.store, rule(channels=()), {0: 50, 1: 0}, at(2))
    platform.rebuild("alerts_job", *HOURS)
    assert len(platform.rows("alerts")) == 1
    note(platform.store, rule(channels=()), {0: 0, 1: 0}, at(3))
    platform.rebuild("alerts_job", *HOURS)
    assert platform.rows("alerts") == []
