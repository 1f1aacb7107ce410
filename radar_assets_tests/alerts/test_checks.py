"""Rules as asset checks: what they say in which runs, and that what they found is in the ledger."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import time_machine
from markdown_it import MarkdownIt

from radar_assets.alerts.checks import check_key
from radar_assets.alerts.declaration import declare
from radar_assets.alerts.rules import Rule
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Alert
from radar_assets.windows import HOUR, hour_key
from radar_assets_tests.platform import Platform, event

NOON = datetime(2026, 3, 10, 12)
MANY = {"name": "many_page_views", "metric": "page_views", "operator": "gt", "threshold": 1, "severity": "high"}


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


def apply(platform: Platform, *rules: Mapping[str, Any]) -> None:
    """Put rules into the platform's store, which its definitions read when they load."""
    store = open_store(platform.settings.database)
    declare(store, [Rule.model_validate(rule) for rule in rules], [])
    store.close()


def at(moment: datetime) -> time_machine.travel:
    return time_machine.travel(moment.replace(tzinfo=UTC), tick=True)


def land(platform: Platform, hour: datetime, count: int) -> None:
    """So many page views in an hour, loaded through the hourly job as the sensor asks for it."""
    events = [event(f"{hour}-{number}", hour + timedelta(minutes=number)) for number in range(count)]
    platform.land(hour, events, f"s-{hour:%d-%H}-{count}")
    for request in platform.tick("landing_sensor"):
        run(platform, "hourly_job", request)


def run(platform: Platform, job: str, request: dg.RunRequest) -> dict[str, dg.AssetCheckEvaluation]:
    """Run a request as the daemon does; what the rules' checks said, by name."""
    subset = platform.defs.resolve_job_def(job).get_subset(
        asset_selection=set(request.asset_selection or []),
        asset_check_selection=None if request.asset_check_keys is None else set(request.asset_check_keys),
    )
    result = subset.execute_in_process(
        instance=platform.instance,
        partition_key=request.partition_key,
        tags=dict(request.tags),
        raise_on_error=False,
    )
    return {
        evaluation.check_name: evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name not in {"schema_equals_contract", "files_are_intact"}
    }


def monitor(platform: Platform, moment: datetime) -> dict[str, dg.AssetCheckEvaluation]:
    """A tick of the schedule at that time, and its run."""
    schedule = platform.defs.resolve_schedule_def("monitor_thresholds_schedule")
    context = dg.build_schedule_context(
        instance=platform.instance,
        scheduled_execution_time=moment.replace(tzinfo=UTC),
        repository_def=platform.defs.get_repository_def(),
    )
    with at(moment + timedelta(seconds=2)):
        requests = schedule.evaluate_tick(context).run_requests or []
        return run(platform, "monitor_thresholds_job", requests[0]) if requests else {}


def alerts(platform: Platform) -> list[tuple[str, datetime, datetime, str]]:
    """What the ledger has, by rule: first and last of the windows that broke it, and the state."""
    store = open_store(platform.settings.database)
    with store.session(read_only=True) as session:
        rows = session.scalars(sa.select(Alert).order_by(Alert.rule, Alert.started_at))
        found = [(row.rule, row.started_at, row.ended_at, row.state) for row in rows]
    store.close()
    return found


def test_a_rule_is_a_check_that_fails_and_writes_an_alert(platform: Platform) -> None:
    apply(platform, MANY)
    with at(NOON + 61 * timedelta(minutes=1)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
    found = monitor(platform, NOON + timedelta(minutes=61))["many_page_views"]
    assert (found.passed, found.severity, found.asset_key) == (
        False,
        dg.AssetCheckSeverity.ERROR,
        dg.AssetKey("hourly_metrics"),
    )
    shown: Any = found.metadata
    assert shown["windows_checked"].value == 24
    assert shown["worst_value"].value == 3
    assert "data:image/svg+xml;base64," in shown["worst_values"].value
    (record,) = shown["breaches"].records
    assert record.data == {
        "project": "shop",
        "since": "2026-03-10 12:00",
        "window": "2026-03-10 12:00",
        "value": 3,
        "threshold": 1,
    }
    assert alerts(platform) == [("many_page_views", NOON, NOON + HOUR, "firing")]
    # The hour after it, in which nothing lands, is judged by the clock alone.
    found = monitor(platform, NOON + timedelta(minutes=121))["many_page_views"]
    assert found.passed
    assert alerts(platform) == [("many_page_views", NOON, NOON + HOUR, "resolved")]


def test_each_rule_runs_when_its_windows_have_ended(platform: Platform) -> None:
    five = {**MANY, "name": "five", "window": "5m", "severity": "medium"}
    apply(platform, MANY, five, {**MANY, "name": "daily", "window": "1d"})
    noon = NOON.replace(minute=0)
    ticks = {minute: set(monitor(platform, noon + timedelta(minutes=minute))) for minute in (1, 6, 11, 56)}
    assert ticks == {1: {"five", "many_page_views"}, 6: {"five", "many_page_views"}, 11: {"five"}, 56: {"five"}}
    half_past = {hour: set(monitor(platform, NOON.replace(hour=hour, minute=31))) for hour in (0, 1, 7)}
    assert half_past == {0: {"five"}, 1: {"five", "daily"}, 7: {"five", "daily"}}
    with at(noon + timedelta(minutes=7)):
        platform.land(noon, [event("1", noon)], "a")
        (request,) = platform.tick("landing_sensor")
        assert set(run(platform, "hourly_job", request)) >= {"many_page_views", "event_ids_are_unique"}
        assert "five" not in run(platform, "hourly_job", request)


def test_without_rules_the_clock_starts_nothing(platform: Platform) -> None:
    names = {schedule.name for schedule in platform.defs.schedules or []}  # pyright: ignore[reportAttributeAccessIssue]
    assert "monitor_thresholds_schedule" not in names
    apply(platform, {**MANY, "window": "1d"})
    fresh = Platform(platform.settings, platform.instance)
    assert monitor(fresh, NOON + timedelta(minutes=1)) == {}


def test_windows_of_five_minutes_are_judged_from_the_events(platform: Platform) -> None:
    apply(platform, {**MANY, "window": "5m", "threshold": 2})
    with at(NOON + timedelta(minutes=11)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 10)
    found = monitor(platform, NOON + timedelta(minutes=11))["many_page_views"]
    assert not found.passed
    assert alerts(platform) == [("many_page_views", NOON, NOON + timedelta(minutes=10), "firing")]


def test_a_window_waits_for_what_has_landed_and_is_not_loaded(platform: Platform) -> None:
    apply(platform, MANY)
    with at(NOON + timedelta(minutes=61)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 1)
        platform.land(NOON, [event("late", NOON), event("later", NOON)], "late")
    found = monitor(platform, NOON + timedelta(minutes=61))["many_page_views"]
    assert found.metadata["not_judged"].value == 1
    assert alerts(platform) == []
    with at(NOON + timedelta(minutes=62)):
        (request,) = platform.tick("landing_sensor")
        assert not run(platform, "hourly_job", request)["many_page_views"].passed
    assert alerts(platform) == [("many_page_views", NOON, NOON + HOUR, "firing")]


def test_a_run_of_the_current_hour_says_what_holds_of_the_last_one(platform: Platform) -> None:
    apply(platform, MANY)
    with at(NOON + timedelta(minutes=65)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
        platform.land(NOON + HOUR, [event("now", NOON + HOUR)], "now")
        (request,) = platform.tick("landing_sensor")
        assert request.partition_key == hour_key(NOON + HOUR)
        assert not run(platform, "hourly_job", request)["many_page_views"].passed


def test_a_rule_that_is_off_says_so_and_writes_nothing(platform: Platform) -> None:
    apply(platform, {**MANY, "enabled": False})
    with at(NOON + timedelta(minutes=61)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
    found = monitor(platform, NOON + timedelta(minutes=61))["many_page_views"]
    assert found.passed
    assert found.metadata["enabled"].value is False
    assert alerts(platform) == []


def test_a_rule_about_a_metric_that_is_gone_says_so_and_costs_the_others_nothing(platform: Platform) -> None:
    apply(platform, {**MANY, "name": "about_what_is_gone", "metric": "gone"}, MANY)
    with at(NOON + timedelta(minutes=61)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
    found = monitor(platform, NOON + timedelta(minutes=61))
    assert not found["about_what_is_gone"].passed
    assert "gone is no metric any more" in str(found["about_what_is_gone"].metadata["why"].value)
    assert "many_page_views" in found
    assert len(alerts(platform)) == 1
    assert platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) == []


def test_descriptions_show_no_image(platform: Platform) -> None:
    texts = (
        "![a](http://evil.example/x.png)",
        "\\![a][b]\n\n[b]: http://evil.example/x.png",
        "`` ` ``![a]\n[a]: //evil.example",
    )
    apply(platform, *({**MANY, "name": f"rule_{place}", "description": text} for place, text in enumerate(texts)))
    asset = dg.AssetKey("hourly_metrics")
    for place, text in enumerate(texts):
        key = dg.AssetCheckKey(asset, f"rule_{place}")
        description = platform.defs.resolve_asset_graph().get_check_spec(key).description or ""
        assert "![" in text
        assert "image" not in str(MarkdownIt().parse(description))


def test_a_rule_is_on_the_asset_that_holds_its_windows() -> None:
    def on(**fields: Any) -> str:
        return check_key(Rule.model_validate({**MANY, **fields})).asset_key.to_user_string()

    assert [on(window=window) for window in ("5m", "1h", "1d")] == ["events", "hourly_metrics", "daily_metrics"]
