"""The sensors for deliveries and for the table of alerts, tick by tick on an instance, on both databases."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine

from radar_assets.messaging import outbox
from radar_assets.orchestration.job_kinds import AGGREGATION
from radar_assets.orchestration.retries import RETRY_TAG
from radar_assets.settings import load_settings
from radar_assets.store.database import Store
from radar_assets.store.models import AlertRule
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import add_channels, alerts, at, deliveries, note, rule
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.messaging.sending import put, webhook
from radar_assets_tests.platform import Platform, remote_origin

NOW = "2026-03-10T12:30:00Z"


@pytest.fixture(params=["sqlite", "postgres"])
def platform(request: pytest.FixtureRequest, radar_home: Path, tmp_path: Path) -> Iterator[Platform]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    settings = load_settings(home=radar_home, database_url=url, allowed_hosts="127.0.0.1").prepare()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Platform(settings, instance)


@pytest.fixture
def store(platform: Platform) -> Store:
    return platform.store


def run(platform: Platform, job: str, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    return platform.execute(job, request)


def rows(platform: Platform) -> list[tuple[datetime, str, int]]:
    return sorted((row["fired_at"], row["state"], row["windows"]) for row in platform.rows("alerts"))


def test_due_messages_are_requested_once_and_not_delayed_by_a_run_in_progress(platform: Platform, store: Store) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        assert platform.tick("deliver_alerts") == []
        put(store, "hook", "1", now=utc_now())
        assert len(platform.tick("deliver_alerts")) == 1
        assert platform.tick("deliver_alerts") == []
        job = platform.defs.resolve_job_def("deliver_alerts_job")
        queued = platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
        clock.shift(1)
        put(store, "hook", "2", now=utc_now())
        assert platform.tick("deliver_alerts") == []
        platform.instance.report_run_failed(queued)
        platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert len(platform.tick("deliver_alerts")) == 1
        assert outbox.claim(store, "hook", utc_now())
        assert len(platform.tick("deliver_alerts")) == 1
        assert outbox.claim(store, "hook", utc_now())
        assert platform.tick("deliver_alerts") == []
        clock.shift(outbox.LEASE)
        assert len(platform.tick("deliver_alerts")) == 1


def test_a_run_sends_due_messages_and_its_check_fails_for_dead_ones(platform: Platform, store: Store) -> None:
    with endpoint() as good, endpoint(answers=[(410, None)]) as gone:
        add_channels(store, [webhook(good.url, "good"), webhook(gone.url, "gone")])
        sent = put(store, "good", "1", "2", now=utc_now())
        put(store, "gone", "1", now=utc_now())
        put(store, "removed", "1", now=utc_now())
        (request,) = platform.tick("deliver_alerts")
        result = run(platform, "deliver_alerts_job", request)
        assert sorted(good.ids) == sorted(sent)
    (event,) = result.get_asset_materialization_events()
    values = {name: value.value for name, value in event.materialization.metadata.items()}
    assert [values[name] for name in ("sent", "failed", "dead", "dropped", "waiting")] == [2, 0, 1, 1, 0]
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("every_delivery_arrived", False)
    shown: Any = check.metadata["faults"]
    assert [record.data["channel"] for record in shown.records] == ["gone"]
    (dead,) = outbox.latest(store, ["dead"])
    outbox.drop(store, dead.id)
    (check,) = run(platform, "deliver_alerts_job", request).get_asset_check_evaluations()
    assert check.passed


def test_changed_hours_of_the_table_of_alerts_are_rebuilt_from_the_store(platform: Platform, store: Store) -> None:
    with time_machine.travel(NOW, tick=True) as clock:
        assert platform.tick("stale_alerts_sensor") == []
        note(store, rule(), {6: 50, 7: 50, 8: 1, 10: 50}, at(11))
        (late, early) = platform.tick("stale_alerts_sensor")
        assert (late.partition_key, early.partition_key) == ("2026-03-10-10:00", "2026-03-10-06:00")
        for request in (late, early):
            assert run(platform, "alerts_job", request).success
        assert rows(platform) == [(at(6), "resolved", 2), (at(10), "firing", 1)]
        assert platform.tick("stale_alerts_sensor") == []
        note(store, rule(), {9: 50, 10: 50}, at(11.2))  # begins an hour before now
        assert platform.tick("stale_alerts_sensor")[0].partition_key == "2026-03-10-09:00"
        clock.shift(timedelta(minutes=16))
        requests = platform.tick("stale_alerts_sensor")
        assert {request.tags.get("dagster/asset_partition_range_end", request.partition_key) for request in requests}
        note(store, rule(channels=()), {6: 1, 7: 1}, at(11.5))
        for request in [*requests, *platform.tick("stale_alerts_sensor")]:
            assert run(platform, "alerts_job", request).success
        assert run(platform, "alerts_job", dg.RunRequest(partition_key="2026-03-10-09:00")).success
        assert (at(9), "firing", 2) in rows(platform)
        assert all(fired_at != at(10) for fired_at, _, _ in rows(platform))


def test_hours_whose_run_failed_are_requested_again_after_a_pause(platform: Platform, store: Store) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        note(store, rule(), {6: 50}, at(11))
        (request,) = platform.tick("stale_alerts_sensor")
        failed = platform.instance.create_run_for_job(
            platform.defs.resolve_job_def("alerts_job"),
            tags={**request.tags, "dagster/partition": str(request.partition_key)},
        )
        platform.instance.report_run_failed(failed)
        clock.shift(timedelta(seconds=29))
        assert platform.tick("stale_alerts_sensor") == []
        clock.shift(timedelta(seconds=1))
        assert len(platform.tick("stale_alerts_sensor")) == 1
        assert platform.tick("stale_alerts_sensor") == []


def test_a_run_that_failed_for_good_is_recorded_by_the_rule_that_watches_failed_runs(
    platform: Platform, store: Store
) -> None:
    watching = rule(name="runs_fail", kind="error", watch="failed_runs", metric=None, threshold=None)
    with store.session() as session:
        session.add(AlertRule(name="runs_fail", position=0, spec=watching.model_dump(mode="json", by_alias=True)))
    job = platform.defs.resolve_job_def("hourly_job")
    sensor: Any = platform.defs.resolve_sensor_def("failed_runs_sensor")
    for retry in (2, 3):
        failed = platform.instance.create_run_for_job(
            job,
            status=dg.DagsterRunStatus.STARTED,
            tags={**job.tags, RETRY_TAG: str(retry)},
            remote_job_origin=remote_origin("hourly_job"),
        )
        platform.instance.report_run_failed(failed)
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs_sensor",
            dagster_instance=platform.instance,
            dagster_run=failed,
            dagster_event=platform.instance.all_logs(failed.run_id)[-1].get_dagster_event(),
        ).for_run_failure()
        sensor(context, lakehouse=platform.lakehouse, store=store)
        if retry < AGGREGATION.retries:
            assert alerts(store) == []
    (alert,) = alerts(store)
    assert (alert.rule, alert.subject, alert.state) == ("runs_fail", "hourly_job", "firing")
    (row,) = deliveries(store)
    assert "1 run of hourly_job failed" in row.contents[0]["text"]
