"""A metric that fails, takes too long or runs out of memory is omitted and named by a check; other metrics are not affected."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import time_machine

from radar_assets import definitions
from radar_assets.lakehouse.engines import limits
from radar_assets.lakehouse.engines.limits import StatementTimeoutError, is_error_of_statement
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import STANDARD_METRICS, CustomMetric, Metric
from radar_assets.settings import load_settings
from radar_assets.windows import DAY, HOUR
from radar_assets_tests.metrics.relations import engine
from radar_assets_tests.platform import Platform, event

TEN = datetime(2026, 3, 1, 10)
ELEVEN = TEN + HOUR
HOURLY = {metric.name for metric in STANDARD_METRICS if "hour" in metric.grains}
CHECK = "every_metric_is_computed"

SEARCHES = CustomMetric(name="searches", expression="count(*) filter (where event = 'search')")
# Its sum overflows if two events have a large `n`, and a sum can't be made safe; `check` accepts narrower decimals only.
TOTAL = Metric(name="total", title="", description="", expression="sum(cast(properties ->> '$.n' as decimal(38, 0)))")
CORRECTED = TOTAL.model_copy(update={"expression": "sum(cast(properties ->> '$.n' as decimal(18, 0)))"})
OTHER_TOTAL = TOTAL.model_copy(update={"expression": "sum(cast(properties ->> '$.n' as decimal(38, 0)) + 0)"})
DIGITS = ", ".join(f"(values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as digit_{index}" for index in range(13))
HUNGRY = Metric(name="hungry", title="", description="", expression="count(distinct repeat(event_id, 60000000))")
ENDLESS = Metric(
    name="endless",
    title="",
    description="",
    expression=f"count(*) / (select 1 from {DIGITS} limit 1 offset 9999999999999)",
)


@pytest.fixture(autouse=True)
def two_days_later() -> Iterator[None]:
    """Otherwise all days until today would be built as well."""
    with time_machine.travel(TEN + 2 * DAY, tick=True):
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "radar"


def platform(home: Path, instance: dg.DagsterInstance | None = None) -> Platform:
    settings = load_settings(home=home, threads=2, start_date=TEN.date()).prepare()
    return Platform(settings, instance or dg.DagsterInstance.ephemeral())


def declare(patch: pytest.MonkeyPatch, *metrics: Metric) -> None:
    """Declare these metrics, even if `check` refuses their expressions."""
    patch.setattr(definitions, "load_metrics", lambda *_, **__: metrics)


def search(event_id: str, at: datetime, project: str = "shop", **properties: Any) -> dict[str, Any]:
    return event(event_id, at, project_id=project, type="track", event="search", session_id="s", properties=properties)


def with_searches(home: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform with one search, built in all tables."""
    declare(monkeypatch, SEARCHES)
    running = platform(home)
    running.land(TEN, [search("1", TEN)], "segment")
    running.settle()
    return running


def metrics_of(running: Platform, table: str, column: str) -> dict[tuple[str, str], set[str]]:
    """Names of the metrics by project and partition."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in running.rows(table):
        found.setdefault((row["project_id"], str(row[column])), set()).add(row["metric"])
    return found


def verdict(running: Platform, table: str) -> tuple[bool, list[dict[str, Any]]]:
    """The latest result of a table's check."""
    for record in running.instance.get_run_records():
        for entry in running.instance.all_logs(
            record.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ):
            evaluation: Any = entry.dagster_event and entry.dagster_event.event_specific_data
            if (evaluation.asset_key.to_user_string(), evaluation.check_name) == (table, CHECK):
                shown = evaluation.metadata.get("faults")
                return evaluation.passed, [row.data for row in shown.records] if shown else []
    raise AssertionError(f"{CHECK} did not run on {table}")


def test_an_event_with_an_extreme_date_fails_no_table(home: Path) -> None:
    """DuckDB can represent the date, but not the timestamp that the comparison casts it to."""
    home.mkdir()
    expression = "count(*) filter (where cast(json_extract_string(properties,'$.due') as date) < event_time)"
    (home / "radar.yaml").write_text(json.dumps({"metrics": [{"name": "due", "expression": expression}]}))
    running = platform(home)
    events = [search("1", TEN, due="5000000-01-01"), search("2", TEN, due="2020-01-01"), search("3", TEN, "blog")]
    running.land(TEN, events, "segment")
    running.settle()
    due = {row["project_id"]: row["value"] for row in running.rows("hourly_metrics") if row["metric"] == "due"}
    assert due == {"shop": 1, "blog": 0}
    assert verdict(running, "hourly_metrics") == verdict(running, "daily_metrics") == (True, [])


def test_a_metric_that_fails_is_omitted_from_its_partition_until_it_is_corrected(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, SEARCHES, TOTAL)
    running = platform(home)
    large = "9" * 38
    running.land(TEN, [search("1", TEN, n=large), search("2", TEN, n=large), search("3", TEN, "blog", n=2)], "ten")
    running.land(ELEVEN, [search("4", ELEVEN, n=3), search("5", ELEVEN, "blog")], "eleven")
    running.settle()

    whole = HOURLY | {"searches", "total"}
    assert metrics_of(running, "hourly_metrics", "hour") == {
        ("shop", str(TEN)): whole - {"total"},
        ("blog", str(TEN)): whole - {"total"},
        ("shop", str(ELEVEN)): whole,
        ("blog", str(ELEVEN)): whole,
    }
    assert {name for names in metrics_of(running, "daily_metrics", "date").values() for name in names} == {
        "searches",
        *(metric.name for metric in STANDARD_METRICS),
    }
    fault = {"metric": "total", "reason": "out of range error", "partitions": 1}
    ten, day = "2026-03-01-10:00", "2026-03-01"
    assert verdict(running, "hourly_metrics") == (False, [{**fault, "first": ten, "last": ten}])
    assert verdict(running, "daily_metrics") == (False, [{**fault, "first": day, "last": day}])

    # An omission alone causes no rebuild, and a later hour doesn't hide it.
    running.land(TEN + DAY, [search("6", TEN + DAY)], "next-day")
    assert not any(day in key for key in running.settle())
    assert verdict(running, "hourly_metrics") == (False, [{**fault, "first": ten, "last": ten}])

    declare(monkeypatch, SEARCHES, CORRECTED)
    corrected = platform(home, running.instance)
    corrected.seen, corrected.cursors = running.seen, running.cursors
    asked = corrected.settle()
    assert len(asked) == 2
    assert {key.split(":")[0] for key in asked} == {"hourly_metrics", "daily_metrics"}
    assert all(names >= whole for names in metrics_of(corrected, "hourly_metrics", "hour").values())
    assert verdict(corrected, "hourly_metrics") == verdict(corrected, "daily_metrics") == (True, [])
    assert corrected.settle() == []


def redefined(running: Platform, patch: pytest.MonkeyPatch, metric: Metric) -> Platform:
    """The platform with another definition of its metric."""
    declare(patch, metric)
    other = platform(running.settings.home, running.instance)
    other.seen, other.cursors = running.seen, running.cursors
    return other


def test_each_change_of_a_definition_is_requested_even_back_to_an_earlier_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, TOTAL)
    running = platform(home)
    large = "9" * 38
    running.land(TEN, [search("1", TEN, n=large), search("2", TEN, n=large)], "ten")
    running.settle()
    for metric in (OTHER_TOTAL, TOTAL, OTHER_TOTAL):
        running = redefined(running, monkeypatch, metric)
        assert [key.split(":")[0] for key in running.settle()] == ["hourly_metrics", "daily_metrics"]
        (omissions,) = running.lakehouse.snapshot("hourly_metrics").omissions.values()
        assert {omission.definition for omission in omissions} == {metric.definition}


def test_a_correction_that_fails_is_requested_again_an_hour_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, TOTAL)
    running = platform(home)
    large = "9" * 38
    running.land(TEN, [search("1", TEN, n=large), search("2", TEN, n=large)], "ten")
    with time_machine.travel("2026-03-01T10:30:00Z", tick=True):
        running.settle()
        running = redefined(running, monkeypatch, CORRECTED)
        (request,) = running.tick("stale_hours_sensor")
        (events,) = (Path(ref.local_path) for ref in running.lakehouse.snapshot("events").files())
        hidden = events.rename(events.with_suffix(".hidden"))
        assert not running.execute("hourly_job", request, raise_on_error=False).success
        assert running.tick("stale_hours_sensor") == []
    hidden.rename(events)
    with time_machine.travel("2026-03-01T11:30:00Z", tick=True):
        (again,) = running.tick("stale_hours_sensor")
        running.execute("hourly_job", again)
        assert running.lakehouse.snapshot("hourly_metrics").omissions == {}
        assert running.tick("stale_hours_sensor") == []


def test_a_metric_that_never_ends_is_omitted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHORTEST_LIMIT_S", 1)
    declare(monkeypatch, ENDLESS, SEARCHES)
    running = platform(home)
    running.land(TEN, [search("1", TEN), search("2", TEN, "blog")], "segment")
    request = running.tick("landing_sensor")[0]
    running.execute("hourly_job", request)
    whole = HOURLY | {"searches"}
    assert metrics_of(running, "hourly_metrics", "hour") == {("shop", str(TEN)): whole, ("blog", str(TEN)): whole}
    passed, faults = verdict(running, "hourly_metrics")
    assert not passed
    assert [(fault["metric"], fault["reason"]) for fault in faults] == [("endless", "took more than 1 s")]


def test_a_metric_that_takes_too_much_memory_is_omitted_and_only_retried_on_request(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_MEMORY", "150MB")
    declare(monkeypatch, HUNGRY, SEARCHES)
    running = platform(home)
    running.land(TEN, [search("1", TEN), search("2", TEN, "blog")], "segment")
    running.execute("hourly_job", running.tick("landing_sensor")[0])
    whole = HOURLY | {"searches"}
    assert metrics_of(running, "hourly_metrics", "hour") == {("shop", str(TEN)): whole, ("blog", str(TEN)): whole}
    fault = {"metric": "hungry", "reason": "out of memory error", "partitions": 1}
    ten = "2026-03-01-10:00"
    assert verdict(running, "hourly_metrics") == (False, [{**fault, "first": ten, "last": ten}])

    # From now on it would succeed. Runs of sensors still omit it; a backfill retries.
    monkeypatch.setenv("RADAR_MEMORY", "1GB")
    larger = platform(home, running.instance)
    larger.seen, larger.cursors = running.seen, running.cursors
    larger.land(TEN, [search("3", TEN)], "more")
    larger.execute("hourly_job", larger.tick("landing_sensor")[0])
    assert verdict(larger, "hourly_metrics") == (False, [{**fault, "first": ten, "last": ten}])
    larger.rebuild("hourly_job", ten, ten)
    assert verdict(larger, "hourly_metrics") == (True, [])


def test_a_table_whose_standard_metrics_fail_too_fails_with_the_first_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is too little memory for any metric."""
    running = with_searches(home, monkeypatch)
    before = running.rows("hourly_metrics")
    monkeypatch.setenv("RADAR_MEMORY", "1MB")
    small = platform(home, running.instance)
    with pytest.raises(duckdb.OutOfMemoryException):
        small.rebuild("hourly_job", "2026-03-01-10:00", "2026-03-01-10:00", ["hourly_metrics"])
    assert running.rows("hourly_metrics") == before
    assert running.lakehouse.snapshot("hourly_metrics").omissions == {}


def test_an_error_that_no_metric_caused_fails_the_run_and_omits_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the events is missing."""
    running = with_searches(home, monkeypatch)
    before = running.rows("hourly_metrics")
    for ref in running.lakehouse.snapshot("events").files():
        Path(ref.local_path).unlink()
    with pytest.raises(FileNotFoundError):
        running.rebuild("hourly_job", "2026-03-01-10:00", "2026-03-01-10:00", ["hourly_metrics"])
    assert running.rows("hourly_metrics") == before
    assert running.lakehouse.snapshot("hourly_metrics").omissions == {}


ENDLESS_STATEMENT = SqlModel(
    "endless", "select count(*) from range(10000000) a, range(10000000) b where a.range + b.range < 0"
)


def test_a_statement_ends_when_its_time_is_up_and_the_engine_goes_on() -> None:
    duck = engine(2)
    began = time.monotonic()
    with pytest.raises(StatementTimeoutError, match=r"took more than 1 s"):
        duck.query(ENDLESS_STATEMENT, {}, limit_s=1)
    assert time.monotonic() - began < 60
    assert duck.query(SqlModel("one", "select 1 as one"), {}, limit_s=60).to_pylist() == [{"one": 1}]


@pytest.mark.parametrize(
    "sql, is_error",
    [
        ("select sum(170141183460469231731687303715884105727::hugeint) from range(2)", True),
        ("select cast('x' as integer)", True),
        ("select list(repeat('x', 1000) || range) from range(10000000)", True),
        ("from read_parquet('/nowhere/x.parquet')", False),
    ],
)
def test_a_missing_file_is_not_an_error_of_the_statement(sql: str, is_error: bool, tmp_path: Path) -> None:
    from radar_assets.lakehouse.engines.duckdb import DuckDBEngine

    with pytest.raises(duckdb.Error) as failure:
        DuckDBEngine("20MB", 1, tmp_path).query(SqlModel("one", sql), {})
    assert is_error_of_statement(failure.value) is is_error
