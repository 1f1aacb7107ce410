"""Platform rules, on a real instance and real tables."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from radar_assets.alerts.findings import Findings
from radar_assets.alerts.rules import Watch
from radar_assets.alerts.watchers import find
from radar_assets.orchestration.materialization import INCREMENTAL_TAG
from radar_assets.orchestration.retries import RETRY_TAG
from radar_assets.settings import load_settings
from radar_assets.windows import HOUR_KEY, utc_now
from radar_assets_tests.alerts.records import rule
from radar_assets_tests.platform import Platform, event, remote_origin

NOON = datetime(2026, 3, 10, 12)


@pytest.fixture
def platform(radar_home: Path, tmp_path: Path) -> Iterator[Platform]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Platform(load_settings(home=radar_home).prepare(), instance)


def judge(platform: Platform, watch: Watch, threshold: float | None = None, firing: tuple[str, ...] = ()) -> Findings:
    by = rule(kind="error", watch=watch, metric=None, threshold=threshold)
    return find(by, platform.instance, platform.lakehouse, platform.store, utc_now(), firing)


def start(platform: Platform) -> str:
    """Create a run in progress. Returns its id."""
    job = platform.defs.resolve_job_def("hourly_job")
    return platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id


def date_files(platform: Platform, table: str, at: datetime) -> None:
    """Set when the files of a table were written, since they otherwise have the machine's time rather than the test's."""
    for ref in platform.lakehouse.snapshot(table).files():
        written = at.replace(tzinfo=UTC).timestamp()
        os.utime(ref.local_path, (written, written))


def end(platform: Platform, run_id: str, *, failed: bool) -> None:
    run = platform.instance.get_run_by_id(run_id)
    assert run
    if failed:
        platform.instance.report_run_failed(run)
    else:
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
        platform.instance.report_dagster_event(event, run_id)


def test_failed_runs_break_the_rule_until_an_hour_in_which_the_job_only_succeeds(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        assert judge(platform, "failed_runs").judged == {}
        end(platform, start(platform), failed=True)
        findings = judge(platform, "failed_runs")
        (breach,) = findings.breaches
        assert (breach.subject, breach.window.start, breach.value) == ("hourly_job", NOON, 1)
        clock.shift(timedelta(hours=1))
        end(platform, start(platform), failed=False)
        assert len(judge(platform, "failed_runs").judged["", "hourly_job"]) == 1
        clock.shift(timedelta(hours=1))
        findings = judge(platform, "failed_runs")
        assert [window.start for window in findings.judged["", "hourly_job"]] == [NOON, NOON + timedelta(hours=1)]
        assert [breach.window.start for breach in findings.breaches] == [NOON]


@pytest.mark.parametrize(("retry", "is_reported"), [(0, False), (2, False), (3, True)])
def test_a_failed_run_is_reported_once_it_is_not_retried_any_more(
    platform: Platform, retry: int, is_reported: bool
) -> None:
    job = platform.defs.resolve_job_def("hourly_job")
    run = platform.instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.STARTED,
        tags={**job.tags, RETRY_TAG: str(retry)},
        remote_job_origin=remote_origin("hourly_job"),
    )
    end(platform, run.run_id, failed=True)
    assert bool(judge(platform, "failed_runs").breaches) is is_reported


def test_a_run_is_stuck_while_it_logs_nothing(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        run_id = start(platform)
        clock.shift(timedelta(minutes=59))
        assert judge(platform, "stuck_runs").breaches == []
        clock.shift(timedelta(minutes=12))
        findings = judge(platform, "stuck_runs")
        assert {breach.subject for breach in findings.breaches} == {run_id}
        assert [f"{breach.window.end:%H:%M}" for breach in findings.breaches] == ["13:00", "13:05", "13:10"]
        assert judge(platform, "stuck_runs", threshold=90).breaches == []
        end(platform, run_id, failed=False)
        clock.shift(timedelta(minutes=5))
        for firing in ((), (run_id,)):
            findings = judge(platform, "stuck_runs", firing=firing)
            assert (list(findings.judged), findings.breaches) == ([("", run_id)], [])
        clock.shift(timedelta(hours=5))
        assert judge(platform, "stuck_runs").judged == {}
        assert list(judge(platform, "stuck_runs", firing=(run_id,)).judged) == [("", run_id)]


def test_a_table_is_late_while_landed_segments_are_not_loaded(platform: Platform) -> None:
    # Time is not frozen, because files and commits have the machine's time.
    now = utc_now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    platform.land(hour, [event("1", hour - timedelta(hours=1), received_at=hour)], "a")
    assert judge(platform, "late_partitions").breaches == []
    with time_machine.travel((now + timedelta(hours=3)).replace(tzinfo=UTC), tick=True):
        assert {breach.subject for breach in judge(platform, "late_partitions").breaches} == {"raw_events"}
        platform.rebuild("hourly_job", f"{hour:%Y-%m-%d-%H:00}", f"{hour:%Y-%m-%d-%H:00}", ["raw_events"])
        date_files(platform, "raw_events", utc_now())
        findings = judge(platform, "late_partitions")
        assert findings.breaches == []
        assert ("", "raw_events") in findings.judged
    with time_machine.travel((now + timedelta(hours=6)).replace(tzinfo=UTC), tick=True):
        late = {breach.subject: breach.text for breach in judge(platform, "late_partitions").breaches}
        assert set(late) == {"events", "rejected_events"}
        assert f"{hour - timedelta(hours=1):%Y-%m-%d-%H:%M}" in late["events"]
        platform.settle()
        assert judge(platform, "late_partitions").breaches == []


def test_a_table_is_late_even_if_more_lines_of_its_stale_hours_keep_landing(platform: Platform) -> None:
    now = utc_now()
    received = now.replace(minute=0, second=0, microsecond=0)
    at = received - timedelta(hours=5)
    for name in ("a", "b"):
        platform.land(received, [event(name, at, received_at=received)], name)
        key = f"{received:{HOUR_KEY}}"
        platform.rebuild("hourly_job", key, key, ["raw_events"], {INCREMENTAL_TAG: "true"})
        if name == "a":
            date_files(platform, "raw_events", now - timedelta(hours=3))
    raw = platform.lakehouse.snapshot("raw_events").iceberg
    first, *_ = sorted(raw.metadata.snapshots, key=lambda entry: entry.timestamp_ms)
    raw.maintenance.expire_snapshots().by_id(first.snapshot_id).commit()
    breach = next(found for found in judge(platform, "late_partitions").breaches[::-1] if found.subject == "events")
    assert f"{at:{HOUR_KEY}}" in breach.text
    assert breach.value is not None
    assert 170 <= breach.value <= 240, "minutes since the first load, not since the last one or the event"
    with time_machine.travel((now + timedelta(days=40)).replace(tzinfo=UTC), tick=True):
        assert judge(platform, "late_partitions").breaches == []


def test_without_a_first_daemon_no_heartbeat_is_missed(platform: Platform) -> None:
    assert judge(platform, "daemon").judged == {}
