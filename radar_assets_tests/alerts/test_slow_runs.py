"""Runs that take much longer than usual for their job, on real instances with a month of runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import time_machine

from radar_assets.alerts import announcements, ledger
from radar_assets.alerts.findings import Findings
from radar_assets.alerts.rules import Rule
from radar_assets.alerts.watchers import find
from radar_assets.orchestration.run_tags import span_tags
from radar_assets.orchestration.runtime.durations import count_partitions, durations, usual
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import rule
from radar_assets_tests.platform import Platform, instance_of

NOON = datetime(2026, 3, 10, 12)
SLOW: Rule = rule(kind="error", watch="slow_runs", metric=None, threshold=None)
KINDS = dg.DagsterEventType


@pytest.fixture(params=["sqlite", "postgres"])
def platform(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    if request.param == "postgres":
        monkeypatch.setenv("RADAR_DATABASE_URL", request.getfixturevalue("postgres_url"))
    with instance_of(load_settings()) as instance:
        yield Platform(load_settings(), instance)


def start(platform: Platform, job: str = "daily_job", **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job, tags=tags)
    platform.instance.add_run(run)
    for kind in (KINDS.RUN_STARTING, KINDS.RUN_START):
        platform.instance.report_dagster_event(dg.DagsterEvent(kind.value, job), run.run_id)
    return run


def end(platform: Platform, run: dg.DagsterRun, kind: dg.DagsterEventType = KINDS.RUN_SUCCESS) -> None:
    platform.instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name), run.run_id)


def fill(platform: Platform, clock: time_machine.Traveller, minutes: float, runs: int = 20, **tags: str) -> None:
    """Runs that took that long, an hour apart."""
    for _ in range(runs):
        run = start(platform, **tags)
        clock.shift(timedelta(minutes=minutes))
        end(platform, run)
        clock.shift(timedelta(minutes=60 - minutes))


def judge(platform: Platform, threshold: float | None = None) -> Findings:
    by = rule(kind="error", watch="slow_runs", metric=None, threshold=threshold)
    return find(by, platform.instance, platform.lakehouse, platform.store, utc_now())


def test_a_run_is_slow_while_it_takes_three_times_as_long_as_most_until_one_ends_in_time(platform: Platform) -> None:
    store = open_store(platform.settings.database)

    def announced() -> int:
        context = announcements.Context(
            now=utc_now(),
            max_age=timedelta(days=1),
            throttle_per_hour=100,
            ui_url=None,
            metrics={},
            project_names={},
            asset="alert_deliveries",
        )
        return ledger.record(store, judge(platform), context).announced

    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        fill(platform, clock, minutes=10, runs=19)
        fill(platform, clock, minutes=40, runs=1)  # rarer than one in 20
        assert announced() == 0
        run = start(platform)
        clock.shift(timedelta(minutes=30))
        assert judge(platform).breaches == []
        clock.shift(timedelta(minutes=5))
        (breach,) = judge(platform).breaches
        assert (breach.subject, breach.value, breach.threshold) == ("daily_job", 3.5, 3)
        assert breach.text == (
            f"daily_job (run {run.run_id[:8]}) has been running for 35 minutes, 3.5 times as long as 95% of its runs "
            "in the last 30 days"
        )
        assert judge(platform, threshold=4).breaches == []
        assert (announced(), announced()) == (1, 0)
        clock.shift(timedelta(minutes=5))
        end(platform, run)
        clock.shift(timedelta(minutes=6))
        findings = judge(platform)
        assert [breach.value for breach in findings.breaches] == [3.5, 4], "as long as it ran"
        assert "took 40 minutes" in findings.breaches[-1].text
        assert announced() == 0

        quick = start(platform)
        clock.shift(timedelta(minutes=12))
        end(platform, quick)
        clock.shift(timedelta(minutes=5))
        assert announced() == 1, "it has recovered"


def test_a_run_is_slow_by_the_partitions_that_it_builds(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        fill(platform, clock, minutes=10)
        week = span_tags("2026-03-01", "2026-03-07")
        run = start(platform, **week)
        clock.shift(timedelta(minutes=205))
        assert judge(platform).breaches == []
        clock.shift(timedelta(minutes=10))
        (breach, *_) = judge(platform).breaches
        assert "3.1 times as long per partition" in breach.text
        end(platform, run, KINDS.RUN_FAILURE)
        assert judge(platform).breaches, "a run that fails late was slow as well"


def test_what_is_usual_takes_20_runs_and_seconds_never_matter(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        fill(platform, clock, minutes=1 / 30, runs=19)
        run = start(platform)
        clock.shift(timedelta(minutes=59))
        assert judge(platform).breaches == [], "19 runs don't tell"
        end(platform, run)
        clock.shift(timedelta(hours=2))
        fill(platform, clock, minutes=1 / 30, runs=1)

        run = start(platform)
        clock.shift(timedelta(seconds=119))
        end(platform, run)
        clock.shift(timedelta(minutes=5))
        findings = judge(platform)
        assert (findings.breaches, list(findings.judged)) == ([], [("", "daily_job")])

        start(platform)
        start(platform, "__ASSET_JOB")
        clock.shift(timedelta(minutes=15))
        assert {breach.subject for breach in judge(platform).breaches} == {"daily_job"}
        clock.shift(timedelta(days=31))
        assert judge(platform).breaches == [], "nothing was usual in the last 30 days"


def test_durations_are_those_of_successful_runs_of_the_last_30_days(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        fill(platform, clock, minutes=5, runs=1)
        clock.shift(timedelta(days=31))
        fill(platform, clock, 10, 2, **span_tags("2026-03-01-22:00", "2026-03-02-01:00"))
        fill(platform, clock, minutes=20, runs=1)
        run = start(platform)
        clock.shift(timedelta(minutes=1))
        end(platform, run, KINDS.RUN_FAILURE)
        found = durations(platform.instance, "daily_job", utc_now())
    assert [(each.seconds, each.partitions) for each in found] == [(1200, 1), (600, 4), (600, 4)]


def test_what_is_usual_is_the_middle_and_all_but_the_slowest_5_percent() -> None:
    assert usual(range(1, 20)) is None
    found = usual(float(number) for number in range(100, 0, -1))
    assert found
    assert (found.runs, found.median, found.p95) == (100, 50, 95)


def test_partitions_of_a_range_are_counted() -> None:
    assert count_partitions("2026-03-01-00:00", "2026-03-07-23:00") == 168
    assert count_partitions("2026-03-01", "2026-03-01") == 1
    assert count_partitions(None, None) == count_partitions("a", "b") == 1
