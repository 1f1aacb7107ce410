"""Rules that watch health: a component that fails alerts, one that comes and goes alerts once, and all reach people."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import time_machine

from radar_assets.alerts.assets import deliver_due
from radar_assets.alerts.findings import Findings
from radar_assets.alerts.watchers import find, watch_now
from radar_assets.config import apply_config, load_config
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.operations.health.probes import Result
from radar_assets.operations.health.results import latest, record
from radar_assets.settings import Settings
from radar_assets_tests.alerts.records import rule
from radar_assets_tests.messaging.channels.servers import serving, status
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.platform import Platform

NOON = datetime(2026, 3, 10, 12)
EVERY = timedelta(minutes=5)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


def watch(platform: Platform, seen: str, component: str = "database", threshold: float | None = None) -> list[int]:
    """Record a check every five minutes, `x` for a failed one, and judge them. Returns the minutes of slots that broke the rule."""
    for place, each in enumerate(seen):
        at = NOON + place * EVERY + timedelta(minutes=4)
        record(platform.store, [Result(component, at, each != "x", 1, "down" if each == "x" else "")])
    findings = health_of(platform, NOON + len(seen) * EVERY, threshold=threshold)
    judged = {window.start for window in findings.judged["", component]}
    broken = {breach.window.start: breach for breach in findings.breaches}
    assert broken.keys() <= judged
    assert all(breach.text == f"{component}: down" for breach in broken.values())
    return [(window - NOON) // timedelta(minutes=1) for window in sorted(broken)]


def health_of(
    platform: Platform, now: datetime, firing: Sequence[str] = (), threshold: float | None = None
) -> Findings:
    by = rule(kind="error", watch="health", metric=None, threshold=threshold)
    return find(by, platform.instance, platform.lakehouse, platform.store, now, firing)


def test_slots_with_a_failed_check_break_the_rule(platform: Platform) -> None:
    assert watch(platform, "..xx..") == [10, 15]


def test_a_threshold_is_the_minutes_that_checks_have_failed(platform: Platform) -> None:
    assert watch(platform, ".xxxxx", threshold=15) == [20, 25]


def test_a_component_that_was_not_healthy_for_long_is_not_judged(platform: Platform) -> None:
    assert watch(platform, "x..x..x...") == [0, 15, 30]
    judged = health_of(platform, NOON + 10 * EVERY).judged["", "database"]
    assert [(window.start - NOON) // EVERY for window in judged] == [0, 3, 6, 9]


def test_components_that_are_no_longer_checked_end_their_alerts(platform: Platform) -> None:
    assert watch(platform, "....") == []
    findings = health_of(platform, NOON + 4 * EVERY, ["url shop"])
    assert [window.start for window in findings.judged["", "url shop"]] == [NOON + 3 * EVERY]
    assert not findings.breaches


def test_alerts_last_while_nothing_is_checked(platform: Platform) -> None:
    assert watch(platform, ".xx") == [5, 10]
    findings = health_of(platform, NOON + timedelta(hours=6), ["database"])
    assert not findings.judged.get(("", "database"))


def test_a_component_that_flaps_longer_than_the_threshold_breaks_the_rule_until_it_is_healthy(
    platform: Platform,
) -> None:
    assert watch(platform, ".xxx.x.x...", threshold=10) == [15, 25, 35]
    judged = health_of(platform, NOON + 11 * EVERY, threshold=10).judged["", "database"]
    assert [(window.start - NOON) // EVERY for window in judged] == [0, 3, 5, 7, 10]


def test_a_threshold_may_be_longer_than_the_hour_that_is_judged(platform: Platform) -> None:
    assert watch(platform, "x" * 30, threshold=120) == [120, 125, 130, 135, 140, 145]


def test_a_flapping_component_sends_one_alert_and_one_recovery(platform: Platform) -> None:
    with endpoint() as hook, time_machine.travel(NOON.replace(tzinfo=UTC), tick=False) as clock:
        platform.settings.config_file.write_text(
            "channels:\n"
            f"  - {{name: hook, type: webhook, url: '{hook.url}', secrets: [whsec_{'c2Vj' * 8}]}}\n"
            "rules:\n  - {name: unhealthy, kind: error, watch: health, channels: [hook]}\n"
        )
        allowed = ("127.0.0.1",)
        apply_config(platform.store, load_config(platform.settings.config_file, allowed_hosts=allowed))
        settings = platform.settings.model_copy(update={"allowed_hosts": allowed})
        for each in "..x.x..xx.x......":
            clock.shift(timedelta(minutes=4))
            now = datetime.now(UTC).replace(tzinfo=None)
            record(platform.store, [Result("url shop", now, each != "x", 1, "shop.example answered 503")])
            clock.shift(timedelta(minutes=2))
            watch_now(platform.store, platform.instance, platform.lakehouse, settings, "health")
            deliver_due(platform.lakehouse, platform.store, STANDARD_METRICS, settings)
            clock.shift(timedelta(minutes=-1))
        received = [body for _, body in hook.received]
    assert [body["type"] for body in received] == ["alert.fired", "alert.recovered"]
    assert "url shop: shop.example answered 503" in str(received[0])


def test_the_job_records_results_and_its_check_fails_while_a_component_does(platform: Platform) -> None:
    with serving() as server:
        platform.settings.config_file.write_text(
            f"health: {{urls: [{{name: shop, url: 'http://127.0.0.1:{server.port}/'}}]}}\n"
        )
        assert run_job(platform) == (True, "All components are healthy.")
        server.answer(status(500))
        assert run_job(platform) == (False, "url shop: 127.0.0.1 answered 500")
    (failed,) = [result for result in latest(platform.store) if not result.ok]
    assert failed.component == "url shop"


def run_job(platform: Platform) -> tuple[bool, str | None]:
    result = platform.defs.resolve_job_def("health_job").execute_in_process(instance=platform.instance)
    (made,) = result.get_asset_materialization_events()
    assert "latency of database (ms)" in made.materialization.metadata
    (check,) = result.get_asset_check_evaluations()
    return check.passed, check.description
