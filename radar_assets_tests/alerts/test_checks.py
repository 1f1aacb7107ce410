"""Rules as asset checks: their results in different runs, and that findings are recorded in the ledger."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import time_machine
from markdown_it import MarkdownIt

from radar_assets.alerts.checks import check_key
from radar_assets.alerts.records import waiting_windows
from radar_assets.alerts.rules import Rule
from radar_assets.config import Config, apply_config
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
    apply_config(store, Config(rules=tuple(map(Rule.model_validate, rules))))
    store.close()


def at(moment: datetime) -> time_machine.travel:
    return time_machine.travel(moment.replace(tzinfo=UTC), tick=True)


def land(platform: Platform, hour: datetime, count: int) -> None:
    """Land a number of page views in an hour, and load them with the hourly job as the sensor requests it."""
    events = [event(f"{hour}-{number}", hour + timedelta(minutes=number)) for number in range(count)]
    platform.land(hour, events, f"s-{hour:%d-%H}-{count}")
    for request in platform.tick("landing_sensor"):
        run(platform, "hourly_job", request)


def run(platform: Platform, job: str, request: dg.RunRequest) -> dict[str, dg.AssetCheckEvaluation]:
    """Run a request as the daemon does. Returns the results of the rules' checks by name."""
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
    """Tick the schedule at a time and run its request."""
    schedule = platform.defs.resolve_schedule_def("monitor_thresholds_schedule")
    with (
        dg.build_schedule_context(
            instance=platform.instance,
            scheduled_execution_time=moment.replace(tzinfo=UTC),
            repository_def=platform.defs.get_repository_def(),
        ) as context,
        at(moment + timedelta(seconds=2)),
    ):
        requests = schedule.evaluate_tick(context).run_requests or []
        return run(platform, "monitor_thresholds_job", requests[0]) if requests else {}


def alerts(platform: Platform) -> list[tuple[str, datetime, datetime, str]]:
    """The recorded alerts by rule: start, end and state."""
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
    sentence, _, chart = str(found.description).partition("\n")
    assert sentence == "shop\\: 3 page views, above 1"
    assert "Page views, shop" in chart, "the windows before the first value count as 0"
    (record,) = shown["breaches"].records
    assert record.data == {
        "project": "shop",
        "since": "2026-03-10 12:00",
        "window": "2026-03-10 12:00",
        "value": 3,
        "threshold": 1,
    }
    assert alerts(platform) == [("many_page_views", NOON, NOON + HOUR, "firing")]
    # The next hour, in which nothing lands, is only judged by the schedule.
    found = monitor(platform, NOON + timedelta(minutes=121))["many_page_views"]
    assert found.passed
    assert alerts(platform) == [("many_page_views", NOON, NOON + HOUR, "resolved")]
    store = open_store(platform.settings.database)
    with store.session(read_only=True) as session:
        ending = session.scalars(sa.select(Alert)).one().details["ending"]
    store.close()
    assert ending == {"window_start": (NOON + HOUR).isoformat(), "value": 0, "baseline": None}


@pytest.mark.parametrize("window", ["5m", "1h"])
def test_an_alert_ends_without_data_when_no_project_has_any(platform: Platform, window: str) -> None:
    failing = {"name": "failing", "metric": "error_rate", "operator": "gte", "threshold": 0.5, "window": window}
    apply(platform, failing)
    with at(NOON + 61 * timedelta(minutes=1)):
        land(platform, NOON - HOUR, 1)
        pages = [event(f"page-{minute}", NOON + timedelta(minutes=minute)) for minute in range(60)]
        errors = [
            event(f"error-{minute}", NOON + timedelta(minutes=minute), type="track", event="error")
            for minute in range(60)
        ]
        platform.land(NOON, [*pages, *errors], "failing")
        (request,) = platform.tick("landing_sensor")
        run(platform, "hourly_job", request)
    assert not monitor(platform, NOON + timedelta(minutes=61))["failing"].passed
    assert [(name, state) for name, _, _, state in alerts(platform)] == [("failing", "firing")]
    assert monitor(platform, NOON + timedelta(days=2, minutes=1))["failing"].metadata["projects_checked"].value == 0
    assert [state for _, _, _, state in alerts(platform)] == ["no_data"]
    monitor(platform, NOON + timedelta(days=5, minutes=1))
    assert [state for _, _, _, state in alerts(platform)] == ["ended_without_data"]


def test_rules_run_when_their_windows_have_ended(platform: Platform) -> None:
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


def test_without_rules_there_is_no_schedule(platform: Platform) -> None:
    names = {schedule.name for schedule in platform.defs.schedules or []}  # pyright: ignore[reportAttributeAccessIssue]
    assert "monitor_thresholds_schedule" not in names
    apply(platform, {**MANY, "window": "1d"})
    fresh = Platform(platform.settings, platform.instance)
    assert monitor(fresh, NOON + timedelta(minutes=1)) == {}


def test_five_minute_windows_are_judged_from_events(platform: Platform) -> None:
    apply(platform, {**MANY, "window": "5m", "threshold": 2})
    with at(NOON + timedelta(minutes=11)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 10)
    found = monitor(platform, NOON + timedelta(minutes=11))["many_page_views"]
    assert not found.passed
    assert alerts(platform) == [("many_page_views", NOON, NOON + timedelta(minutes=10), "firing")]


def test_five_minutes_are_judged_late_once_their_file_is_loaded(platform: Platform) -> None:
    apply(platform, {**MANY, "window": "5m", "threshold": 2, "name": "five"})
    with at(NOON + timedelta(minutes=55)):
        land(platform, NOON - HOUR, 1)
        platform.land(NOON, [event(f"{number}", NOON + timedelta(minutes=number)) for number in range(10)], "hour")
    shown = monitor(platform, NOON + timedelta(minutes=61))["five"].metadata
    assert shown["not_judged"].value == 12
    monitor(platform, NOON + timedelta(minutes=126))
    assert alerts(platform) == []
    with at(NOON + timedelta(minutes=127)):
        (request,) = platform.tick("landing_sensor")
        run(platform, "hourly_job", request)
    monitor(platform, NOON + timedelta(minutes=131))
    assert alerts(platform) == [("five", NOON, NOON + timedelta(minutes=10), "resolved")]
    assert waiting_windows(platform.store) == []


def wait_and_load(platform: Platform) -> None:
    """Apply the five-minute rules `one` and `two`, and load a segment after its windows have waited for it."""
    five = {**MANY, "window": "5m", "threshold": 2}
    apply(platform, {**five, "name": "one"}, {**five, "name": "two"})
    with at(NOON + timedelta(minutes=55)):
        land(platform, NOON - HOUR, 1)
        platform.land(NOON, [event(f"{number}", NOON + timedelta(minutes=number)) for number in range(10)], "hour")
    monitor(platform, NOON + timedelta(minutes=61))
    with at(NOON + timedelta(minutes=127)):
        (request,) = platform.tick("landing_sensor")
        run(platform, "hourly_job", request)
    assert len(waiting_windows(platform.store)) == 12


def test_windows_wait_on_if_a_rule_could_not_be_recorded(platform: Platform) -> None:
    wait_and_load(platform)
    with platform.store.session() as session:
        raising = "begin select raise(abort, 'database is locked'); end"
        session.execute(sa.text(f"create trigger locked before insert on alerts when new.rule = 'one' {raising}"))
    monitor(platform, NOON + timedelta(minutes=131))
    assert [name for name, *_ in alerts(platform)] == ["two"]
    with platform.store.session() as session:
        session.execute(sa.text("drop trigger locked"))
    monitor(platform, NOON + timedelta(minutes=136))
    assert [name for name, *_ in alerts(platform)] == ["one", "two"]
    assert waiting_windows(platform.store) == []


def test_windows_wait_on_for_the_rules_that_a_run_leaves_out(platform: Platform) -> None:
    wait_and_load(platform)
    one = check_key(Rule.model_validate({**MANY, "window": "5m", "name": "one"}))
    with at(NOON + timedelta(minutes=129)):
        run(platform, "monitor_thresholds_job", dg.RunRequest(asset_check_keys=[one]))
    assert [name for name, *_ in alerts(platform)] == ["one"]
    monitor(platform, NOON + timedelta(minutes=131))
    assert [name for name, *_ in alerts(platform)] == ["one", "two"]
    assert waiting_windows(platform.store) == []


def test_windows_wait_for_a_day_at_most(platform: Platform) -> None:
    wait_and_load(platform)
    one = check_key(Rule.model_validate({**MANY, "window": "5m", "name": "one"}))
    with at(NOON + timedelta(days=1, minutes=31)):
        run(platform, "monitor_thresholds_job", dg.RunRequest(asset_check_keys=[one]))
    assert waiting_windows(platform.store)[0] == NOON + timedelta(minutes=35)


def test_a_window_waits_until_landed_segments_are_loaded(platform: Platform) -> None:
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


def test_a_run_of_the_current_hour_judges_the_previous_hour(platform: Platform) -> None:
    apply(platform, MANY)
    with at(NOON + timedelta(minutes=65)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
        platform.land(NOON + HOUR, [event("now", NOON + HOUR)], "now")
        (request,) = platform.tick("landing_sensor")
        assert request.partition_key == hour_key(NOON + HOUR)
        assert not run(platform, "hourly_job", request)["many_page_views"].passed


def test_a_new_rule_that_a_run_of_one_hour_finds_broken_begins_with_the_outage(platform: Platform) -> None:
    with at(NOON + timedelta(minutes=61)):
        for back in range(4):
            land(platform, NOON - back * HOUR, 3)
        apply(platform, {**MANY, "metric": "conversions", "operator": "lt"})
        fresh = Platform(platform.settings, platform.instance)
        fresh.land(NOON, [event("more", NOON)], "more")
        (request,) = fresh.tick("landing_sensor")
        assert request.partition_key == hour_key(NOON)
        found = run(fresh, "hourly_job", request)["many_page_views"]
    # The run has loaded noon; the project's first hour is not judged.
    began = NOON - 2 * HOUR
    assert alerts(platform) == [("many_page_views", began, NOON + HOUR, "firing")]
    shown: Any = found.metadata
    assert [record.data["since"] for record in shown["breaches"].records] == [f"{began:%Y-%m-%d %H:%M}"] * 3


def test_a_disabled_rule_says_so_and_records_nothing(platform: Platform) -> None:
    apply(platform, {**MANY, "enabled": False})
    with at(NOON + timedelta(minutes=61)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
    found = monitor(platform, NOON + timedelta(minutes=61))["many_page_views"]
    assert found.passed
    assert found.metadata["enabled"].value is False
    assert alerts(platform) == []


def test_a_rule_with_an_unknown_metric_says_so_and_affects_no_other_rule(platform: Platform) -> None:
    apply(platform, {**MANY, "name": "about_what_is_gone", "metric": "gone"}, MANY)
    with at(NOON + timedelta(minutes=61)):
        land(platform, NOON - HOUR, 1)
        land(platform, NOON, 3)
    found = monitor(platform, NOON + timedelta(minutes=61))
    assert not found["about_what_is_gone"].passed
    assert "Unknown metric gone" in str(found["about_what_is_gone"].description).replace("\\", "")
    assert "many_page_views" in found
    assert len(alerts(platform)) == 1
    assert platform.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) == []


def test_images_in_descriptions_are_escaped(platform: Platform) -> None:
    texts = (
        "![a](http://evil.example/x.png)",
        "\\![a][b]\n\n[b]: http://evil.example/x.png",
        "`` ` ``![a]\n[a]: //evil.example",
    )
    apply(platform, *({**MANY, "name": f"rule_{index}", "description": text} for index, text in enumerate(texts)))
    asset = dg.AssetKey("hourly_metrics")
    for index, text in enumerate(texts):
        key = dg.AssetCheckKey(asset, f"rule_{index}")
        description = platform.defs.resolve_asset_graph().get_check_spec(key).description or ""
        assert "![" in text
        assert "image" not in str(MarkdownIt().parse(description))


def test_a_rule_is_on_the_asset_that_holds_its_windows() -> None:
    def on(**fields: Any) -> str:
        return check_key(Rule.model_validate({**MANY, **fields})).asset_key.to_user_string()

    assert [on(window=window) for window in ("5m", "1h", "1d")] == ["events", "hourly_metrics", "daily_metrics"]
