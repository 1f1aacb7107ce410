"""Failed runs are retried after a pause, as often as the kind of their job allows, and the progress of a backfill counts them."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import dagster as dg
import pytest
import time_machine
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import WILL_RETRY_TAG

from radar_assets.orchestration.attempts import ATTEMPT_TAG
from radar_assets.orchestration.retries import (
    NOT_RETRIED_TAG,
    RETRIED_RUN_TAG,
    RETRY_TAG,
    is_retried,
    waiting_for_retry,
)
from radar_assets.orchestration.runtime.backfills import Progress, backfills_in_progress, progress
from radar_assets.orchestration.runtime.instance import instance_yaml, prepare_instance
from radar_assets.settings import Settings, load_settings
from radar_assets_tests.platform import Platform, instance_of, remote_origin

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
BACKFILL = {"dagster/backfill": "bf"}


@pytest.fixture(params=["sqlite", "postgres"])
def platform(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    if request.param == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
    with instance_of(load_settings()) as instance:
        yield Platform(load_settings(), instance)


def start(
    platform: Platform,
    job: str,
    tags: Mapping[str, str] = MappingProxyType({}),
    assets: list[str] | None = None,
    checks: list[dg.AssetCheckKey] | None = None,
) -> dg.DagsterRun:
    """A run in progress, as the daemon has started it."""
    definition = platform.defs.resolve_job_def(job)
    run = dg.DagsterRun(
        job,
        tags={**definition.tags, **tags},
        remote_job_origin=remote_origin(job),
        asset_selection=frozenset(map(dg.AssetKey, assets)) if assets else None,
        asset_check_selection=None if checks is None else frozenset(checks),
    )
    platform.instance.add_run(run)
    for kind in (dg.DagsterEventType.RUN_STARTING, dg.DagsterEventType.RUN_START):
        platform.instance.report_dagster_event(dg.DagsterEvent(kind.value, job), run.run_id)
    return run


def end(platform: Platform, run: dg.DagsterRun, *, failed: bool) -> None:
    kind = dg.DagsterEventType.RUN_FAILURE if failed else dg.DagsterEventType.RUN_SUCCESS
    platform.instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name), run.run_id)


def test_a_failed_run_is_retried_with_its_partitions_after_growing_pauses_until_retries_are_used_up(
    platform: Platform,
) -> None:
    tags = {**BACKFILL, "dagster/partition": "2026-03-10-05:00", "radar/prune": "true", "dagster/run_key": "x"}
    with time_machine.travel(NOON, tick=False) as clock:
        run = start(platform, "hourly_job", tags)
        for number, pause_s in ((1, 30), (2, 60), (3, 120)):
            end(platform, run, failed=True)
            clock.shift(timedelta(seconds=pause_s - 1))
            assert platform.tick("retry_sensor") == []
            clock.shift(timedelta(seconds=1))
            (request,) = platform.tick("retry_sensor")
            assert request.job_name == "hourly_job"
            assert request.tags == {
                **BACKFILL,
                "dagster/partition": "2026-03-10-05:00",
                "radar/prune": "true",
                "radar/kind": "aggregation",
                "dagster/sensor_name": "retry_sensor",
                RETRY_TAG: str(number),
                RETRIED_RUN_TAG: run.run_id,
            }
            assert platform.tick("retry_sensor") == []
            run = start(platform, "hourly_job", request.tags)
            assert platform.tick("retry_sensor") == [], "its retry is in progress"
        end(platform, run, failed=True)
        clock.shift(timedelta(hours=1))
        assert platform.tick("retry_sensor") == []


def test_a_selection_of_assets_that_the_ui_started_is_retried_by_the_job_that_has_them(platform: Platform) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        # Dagster's own job for selections of assets.
        end(platform, start(platform, "__ASSET_JOB", assets=["sessions"]), failed=True)
        clock.shift(timedelta(minutes=1))
        (request,) = platform.tick("retry_sensor")
        assert (request.job_name, request.asset_selection) == ("daily_job", [dg.AssetKey("sessions")])


def check(asset: str, name: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(asset), name)


def test_checks_that_the_ui_started_are_retried_by_the_job_that_has_them(platform: Platform) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        of_days = [check("sessions", "files_are_intact")]
        end(platform, start(platform, "__ASSET_JOB", checks=of_days), failed=True)
        clock.shift(timedelta(minutes=1))
        (request,) = platform.tick("retry_sensor")
        assert (request.job_name, request.asset_selection) == ("daily_job", None)
        assert request.asset_check_keys == of_days


def test_runs_that_no_job_can_retry_are_final_and_do_not_hold_up_others(platform: Platform) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        mixed = [start(platform, "__ASSET_JOB", BACKFILL, assets=["events", "alerts"]) for _ in range(20)]
        other = start(platform, "hourly_job")
        for run in (*mixed, other):
            end(platform, run, failed=True)
        assert len(waiting_for_retry(platform.instance)) == 21
        clock.shift(timedelta(minutes=1))
        (request,) = platform.tick("retry_sensor")
        assert request.tags[RETRIED_RUN_TAG] == other.run_id
        assert [record.dagster_run.run_id for record in waiting_for_retry(platform.instance)] == [other.run_id]
        failed = [platform.instance.get_run_by_id(run.run_id) for run in mixed]
        assert {run.tags[NOT_RETRIED_TAG] for run in failed if run} == {"no job has all of its assets and checks"}


def test_a_retry_leaves_out_assets_and_checks_that_are_gone(platform: Platform) -> None:
    kept, gone = check("events", "files_are_intact"), check("events", "removed_rule")
    with time_machine.travel(NOON, tick=False) as clock:
        end(platform, start(platform, "hourly_job", assets=["events", "gone"], checks=[kept, gone]), failed=True)
        nothing_left = start(platform, "hourly_job", checks=[gone])
        end(platform, nothing_left, failed=True)
        clock.shift(timedelta(minutes=1))
        (request,) = platform.tick("retry_sensor")
        assert (request.asset_selection, request.asset_check_keys) == ([dg.AssetKey("events")], [kept])
        run = platform.instance.get_run_by_id(nothing_left.run_id)
        assert run and not is_retried(run)


@pytest.mark.parametrize("status", [BulkActionStatus.CANCELING, BulkActionStatus.CANCELED])
def test_failed_runs_of_a_canceled_backfill_are_not_retried(platform: Platform, status: BulkActionStatus) -> None:
    instance = platform.instance
    with time_machine.travel(NOON, tick=False) as clock:
        backfill = PartitionBackfill("bf", BulkActionStatus.REQUESTED, False, {}, NOON.timestamp())
        instance.add_backfill(backfill)
        run = start(platform, "hourly_job", {**BACKFILL, "radar/prune": "true"})
        end(platform, run, failed=True)
        assert platform.tick("retry_sensor") == []
        assert len(waiting_for_retry(instance)) == 1
        instance.update_backfill(backfill.with_status(status))
        clock.shift(timedelta(minutes=1))
        assert platform.tick("retry_sensor") == []
        assert waiting_for_retry(instance) == []


def test_dagsters_own_retries_stay_off_if_the_operator_enables_them(settings: Settings) -> None:
    own = (
        instance_yaml()
        .read_text()
        .replace("run_retries: {enabled: false}", "run_retries: {enabled: true, max_retries: 3}")
    )
    (prepare_instance(settings) / "dagster.yaml").write_text(own)
    with instance_of(settings) as instance:
        assert instance.run_retries_enabled
        platform = Platform(settings, instance)
        for job in ("hourly_job", "daily_job", "alerts_job", "deliver_alerts_job", "maintenance_job"):
            run = start(platform, job)
            end(platform, run, failed=True)
            failed = instance.get_run_by_id(run.run_id)
            assert failed and failed.tags[WILL_RETRY_TAG] == "false", job
            assert is_retried(failed), job


def test_runs_that_are_requested_again_or_were_canceled_or_run_in_a_command_are_not_retried(platform: Platform) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        end(platform, start(platform, "hourly_job", {ATTEMPT_TAG: "1"}), failed=True)
        canceled = start(platform, "hourly_job")
        platform.instance.report_run_canceled(canceled)
        job = platform.defs.resolve_job_def("hourly_job")
        end(platform, platform.instance.create_run_for_job(job), failed=True)
        clock.shift(timedelta(hours=1))
        assert platform.tick("retry_sensor") == []


def test_progress_and_time_left_come_from_the_runs_of_a_backfill(platform: Platform) -> None:
    instance = platform.instance

    def span(first: str, last: str) -> dict[str, str]:
        ends = {"start": f"2026-03-10-{first}", "end": f"2026-03-10-{last}"}
        return {**BACKFILL, **{f"dagster/asset_partition_range_{side}": key for side, key in ends.items()}}

    def seen() -> Progress:
        (found,) = backfills_in_progress(instance)
        return found

    with time_machine.travel(NOON, tick=False) as clock:
        assert backfills_in_progress(instance) == []
        assert progress(instance, "bf") is None
        first = start(platform, "hourly_job", span("00:00", "03:00"))
        second = start(platform, "hourly_job", span("04:00", "07:00"))
        third = platform.instance.create_run_for_job(
            platform.defs.resolve_job_def("hourly_job"), tags=span("08:00", "11:00")
        )
        assert (seen().done, seen().failed, seen().total, seen().left) == (0, 0, 12, None)
        clock.shift(timedelta(seconds=40))
        end(platform, first, failed=False)
        clock.shift(timedelta(seconds=20))
        # 10 s a partition. The second run has taken 60 s, more than its 4; 40 s of the third are left, at 100 s of work in 60 s.
        assert seen() == Progress("bf", "hourly_job", 4, 0, 12, timedelta(seconds=60), seen().left)
        assert seen().left == timedelta(seconds=40 / (100 / 60))
        end(platform, second, failed=True)
        assert (seen().done, seen().failed) == (4, 0), "it waits for its retry"
        platform.instance.report_run_canceled(third)
        assert (seen().done, seen().failed) == (4, 4)
        # An hour in which nothing ran doesn't count.
        clock.shift(timedelta(hours=1))
        assert seen().left == timedelta(seconds=40 / (100 / 60))
        (request,) = platform.tick("retry_sensor")
        end(platform, start(platform, "hourly_job", request.tags), failed=False)
        assert backfills_in_progress(instance) == []
        ended = progress(instance, "bf")
        assert ended
        assert (ended.done, ended.failed, ended.left) == (8, 4, timedelta(0))
