"""The maintenance of the databases, as assets of the nightly job."""

from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy as sa
import time_machine

from radar_assets.access import audit, browser_sessions
from radar_assets.access.roles import Principal, Role
from radar_assets.settings import Settings, load_settings
from radar_assets.store.models import AuditEntry
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import alerts, note, rule
from radar_assets_tests.alerts.records import at as hour_of_alert
from radar_assets_tests.platform import Platform, event, instance_of

SOMEONE = Principal("shell", "1000", "ada", Role.ADMIN)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_old_runs_alerts_and_entries_go_and_the_platform_goes_on(
    database: str, settings: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
        settings = load_settings()
    began = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        platform.land(began, [event("1", began)], "a")
        assert len(platform.settle()) == 2
        note(platform.store, rule(), {0: 50, 1: 0}, hour_of_alert(2))
        audit.record(platform.store, SOMEONE, "user.add", "eva")
        browser_sessions.use_login_link(platform.store, browser_sessions.make_login_link(platform.store))
        before = platform.tables()
        with time_machine.travel(utc_now() + timedelta(days=800)):
            selection = [dg.AssetKey(["maintenance", name]) for name in ("dagster_storage", "operational_store")]
            job = platform.defs.resolve_job_def("maintenance_job")
            done = job.execute_in_process(instance=instance, asset_selection=selection)
        events = done.get_asset_materialization_events()
        storage, store = (
            {key: int(str(value.value)) for key, value in event.materialization.metadata.items()} for event in events
        )
        assert storage["runs after"] == 1 < storage["runs before"]
        assert storage["events after"] < storage["events before"] / 2
        assert store == {
            "removed alerts": 1,
            "removed messages": 0,
            "removed sessions": 1,
            "removed audit entries": 1,
        }
        assert alerts(platform.store) == []

        platform.cursors.clear()
        assert platform.settle() == [], "nothing is stale, although its runs are gone"
        platform.land(began, [event("2", began)], "b")
        keys = platform.settle()
        assert len(keys) == 1, "the day rests"
        assert keys[0].startswith("landing:")
        assert len(platform.rows("events")) == len(before["events"]) + 1
        assert audit.verify(platform.store, audit.signing_key(settings.home)) is None


def test_entries_of_a_log_that_was_changed_stay(settings: Settings) -> None:
    with instance_of(settings) as instance:
        platform = Platform(settings, instance)
        for name in ("eva", "max"):
            audit.record(platform.store, SOMEONE, "user.add", name)
        with platform.store.session() as session:
            session.execute(sa.update(AuditEntry).where(AuditEntry.number == 1).values(object="eve"))
        with time_machine.travel(utc_now() + timedelta(days=31)):
            job = platform.defs.resolve_job_def("maintenance_job")
            selection = [dg.AssetKey(["maintenance", "operational_store"])]
            run = job.execute_in_process(instance=instance, asset_selection=selection, raise_on_error=False)
        assert not run.success
        assert [entry.object for entry in audit.list_entries(platform.store)] == ["max", "eve"]
