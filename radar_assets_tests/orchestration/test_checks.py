"""The checks: each fails on its fault and names it, and stale partitions don't fail checks.

Over 400 lines, because the faults of all checks are one table.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from pyiceberg.types import StringType

from radar_assets.events.loading import load_raw_events
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.orchestration.materialization import INCREMENTAL_TAG
from radar_assets.settings import load_settings
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, DAY_KEY, HOUR, HOUR_KEY, Window, day_key, hour_key
from radar_assets_tests.platform import Platform, event

START = datetime(2026, 3, 1)
NOON = START + 12 * HOUR
WINDOW = Window(START, START + 2 * DAY)
FIRST, SECOND = WINDOW.days()


@dataclass(frozen=True)
class Verdict:
    """The result of a check."""

    passed: bool
    faults: list[dict[str, Any]]
    not_judged: int


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a platform with two days of two projects in all of its tables."""
    home = tmp_path_factory.mktemp("checks") / "radar"
    platform = open_platform(home)
    for project in ("shop", "blog"):
        # A visit across midnight, a visit at noon of each day, a copy and a rejected line.
        times = [START + DAY - timedelta(minutes=10), START + DAY + timedelta(minutes=10), NOON, NOON + DAY]
        for number, at in enumerate(times):
            lines: list[Any] = [
                event(f"{number}", at, project_id=project, user_id="u", anonymous_id=f"device {number // 2}")
            ]
            lines += [*lines, b"not json\n"] if at == NOON else []
            platform.land(at, lines, f"{project}-{number}")
    load(platform)
    build(platform)
    shutil.copytree(home, home.with_name("built"))
    return home


@pytest.fixture
def platform(built: Path) -> Platform:
    """A fresh copy of that platform. Tables refer to their files by absolute paths, so each copy replaces the previous one."""
    shutil.rmtree(built)
    shutil.copytree(built.with_name("built"), built)
    return open_platform(built)


def open_platform(home: Path) -> Platform:
    """A platform on an instance in memory."""
    settings = load_settings(home=home, threads=2, start_date=START.date() - DAY).prepare()
    return Platform(settings, dg.DagsterInstance.ephemeral())


def load(platform: Platform) -> None:
    """Load missing segments."""
    load_raw_events(platform.lakehouse, ["shop", "blog"], WINDOW, only_missing=True)


def build(platform: Platform, assets: tuple[str, ...] = tuple(table.name for table in TABLES.derived())) -> None:
    """Rebuild these assets: their stale hours, and both days."""
    hourly = [name for name in assets if TABLES[name].grid == "hour"]
    daily = [name for name in assets if name not in hourly]
    if hourly:
        first, last = hour_key(WINDOW.start), hour_key(WINDOW.end - HOUR)
        platform.rebuild("hourly_job", first, last, hourly, tags={INCREMENTAL_TAG: "true"})
    if daily:
        platform.rebuild("daily_job", day_key(FIRST), day_key(SECOND), daily)


def judge(platform: Platform, *names: str, window: Window = WINDOW) -> dict[tuple[str, str], Verdict]:
    """Every check of these tables, or of all, over a window, by table and name."""
    found = {}
    for unit, form, step in (("hour", HOUR_KEY, HOUR), ("day", DAY_KEY, DAY)):
        tables = [name for name in names or TABLES if TABLES[name].grid == unit]
        if not tables:
            continue
        result = dg.materialize(
            list(platform.defs.asset_checks or []),
            selection=dg.AssetSelection.checks_for_assets(*tables),
            instance=platform.instance,
            resources={"lakehouse": platform.lakehouse, "store": platform.store},
            tags={
                "dagster/asset_partition_range_start": window.start.strftime(form),
                "dagster/asset_partition_range_end": (window.end - step).strftime(form),
            },
        )
        for evaluation in result.get_asset_check_evaluations():
            shown: Any = evaluation.metadata.get("faults")
            faults = [record.data for record in shown.records] if shown else []
            rows, not_judged = (evaluation.metadata[key].value for key in ("rows_at_fault", "not_judged"))
            assert rows == len(faults)
            assert isinstance(not_judged, int)
            key = (evaluation.asset_key.to_user_string(), evaluation.check_name)
            found[key] = Verdict(evaluation.passed, faults, not_judged)
    return found


def failed(verdicts: dict[tuple[str, str], Verdict]) -> set[tuple[str, str]]:
    """The failed checks."""
    return {key for key, verdict in verdicts.items() if not verdict.passed}


def replace(platform: Platform, table: str, rows: str) -> None:
    """Replace a window of a table with these rows, as a rebuild from the current input would."""
    inside = f"({TABLES[table].window_column} >= $start and {TABLES[table].window_column} < $end)"
    platform.lakehouse.rebuild(
        SqlModel(table, f"with here as (select * from {table} where {inside}) {rows}"),
        [WINDOW],
        lambda _, windows, __: {table: Files.within(platform.lakehouse.snapshot(table), windows)},
    )


@dataclass(frozen=True)
class Fault:
    """A fault of a table, given as a query of the rows that replace its own (the relation `here`), and the check's result."""

    table: str
    check: str
    rows: str
    faults: list[dict[str, Any]]


NONE_OUTSIDE = {"events_from_servers": 0, "automatic_events_outside": 0}
FAULTS = {
    "rejected lines are lost": Fault(
        "rejected_events",
        "every_line_is_accepted_or_rejected",
        "select * from here where false",
        [{"received_hour": str(NOON), "lines": 6, "accepted": 4, "rejected": 0}],
    ),
    "a rejected line is there twice": Fault(
        "rejected_events",
        "every_line_is_accepted_or_rejected",
        "from here union all (from here limit 1)",
        [{"received_hour": str(NOON), "lines": 6, "accepted": 4, "rejected": 3}],
    ),
    "an event is lost": Fault(
        "events",
        "every_accepted_line_is_an_event_or_a_copy",
        "from here where not (project_id = 'shop' and event_id = '3')",
        [{"hour": str(NOON + DAY), "accepted": 2, "events": 1, "copies": 0}],
    ),
    "a copy counts as an event": Fault(
        "events",
        "every_accepted_line_is_an_event_or_a_copy",
        "from here union all (from here where project_id = 'shop' and event_id = '2')",
        [{"hour": str(NOON), "accepted": 4, "events": 3, "copies": 2}],
    ),
    "an id is there twice in an hour": Fault(
        "events",
        "event_ids_are_unique",
        "from here union all (from here where project_id = 'shop' and event_id = '2')",
        [{"project_id": "shop", "event_id": "2", "hour": str(NOON), "next_hour": str(NOON)}],
    ),
    "an id is there again in the next hour": Fault(
        "events",
        "event_ids_are_unique",
        """
        from here union all
        select * replace (event_time + interval 1 hour as event_time) from here where project_id = 'shop' and event_id = '2'
        """,
        [{"project_id": "shop", "event_id": "2", "hour": str(NOON), "next_hour": str(NOON + HOUR)}],
    ),
    "a session is lost": Fault(
        "sessions",
        "sessions_account_for_every_event",
        "from here where not (project_id = 'shop' and events_after_midnight = 1)",
        [
            {"project_id": "shop", "day": str(FIRST), "events": 2, "events_in_sessions": 1} | NONE_OUTSIDE,
            {"project_id": "shop", "day": str(SECOND), "events": 2, "events_in_sessions": 1} | NONE_OUTSIDE,
        ],
    ),
    "an event is in the session of another day": Fault(
        "sessions",
        "sessions_account_for_every_event",
        "select * replace (if(project_id = 'shop', 0, events_after_midnight) as events_after_midnight) from here",
        [
            {"project_id": "shop", "day": str(FIRST), "events": 2, "events_in_sessions": 3} | NONE_OUTSIDE,
            {"project_id": "shop", "day": str(SECOND), "events": 2, "events_in_sessions": 1} | NONE_OUTSIDE,
        ],
    ),
    "events of an hour are miscounted": Fault(
        "hourly_metrics",
        "hourly_equals_recount_of_events",
        f"""
        select * replace (
            if(project_id = 'shop' and hour = timestamp '{NOON}' and metric = 'events', 7, value) as value
        ) from here
        """,
        [{"project_id": "shop", "hour": str(NOON), "metric": "events", "recounted": 1, "stored": 7}],
    ),
    **{
        f"{metric} are miscounted": Fault(
            "daily_metrics",
            "daily_equals_recount_of_events",
            f"""
            select * replace (if(project_id = 'shop' and date = date '{FIRST}' and metric = '{metric}', 7, value) as value)
            from here
            """,
            [{"project_id": "shop", "date": str(FIRST), "metric": metric, "recounted": value, "stored": 7}],
        )
        for metric, value in (("events", 2), ("page_views", 2), ("users", 1), ("sessions", 2))
    },
    "a metric of a day is missing": Fault(
        "daily_metrics",
        "daily_equals_recount_of_events",
        f"from here where not (project_id = 'blog' and date = date '{SECOND}' and metric = 'events')",
        [{"project_id": "blog", "date": str(SECOND), "metric": "events", "recounted": 2, "stored": None}],
    ),
    "metrics of a project that has no events": Fault(
        "daily_metrics",
        "daily_equals_recount_of_events",
        f"from here union all select 'ghost', date '{SECOND}', 'events', 1",
        [{"project_id": "ghost", "date": str(SECOND), "metric": "events", "recounted": None, "stored": 1}],
    ),
    **{
        f"{dimension}s don't add up": Fault(
            "daily_breakdowns",
            "breakdowns_add_up_to_events",
            f"""
            select * replace (
                if(project_id = 'shop' and date = date '{FIRST}' and dimension = '{dimension}', 7, events) as events
            ) from here
            """,
            [
                {
                    "project_id": "shop",
                    "date": str(FIRST),
                    "dimension": dimension,
                    "events": 2,
                    "events_in_breakdown": 7,
                    "page_views": 2,
                    "page_views_in_breakdown": 2,
                    "sessions": None,
                    "sessions_in_breakdown": None,
                }
            ],
        )
        for dimension in ("page", "event")
    },
    "sessions by channel don't add up": Fault(
        "daily_breakdowns",
        "breakdowns_add_up_to_events",
        f"""
        select * replace (
            if(project_id = 'shop' and date = date '{FIRST}' and dimension = 'channel', 7, sessions) as sessions
        ) from here
        """,
        [
            {
                "project_id": "shop",
                "date": str(FIRST),
                "dimension": "channel",
                "events": 3,
                "events_in_breakdown": 3,
                "page_views": 3,
                "page_views_in_breakdown": 3,
                "sessions": 2,
                "sessions_in_breakdown": 7,
            }
        ],
    ),
    "a dimension of a day is missing": Fault(
        "daily_breakdowns",
        "breakdowns_add_up_to_events",
        f"from here where not (project_id = 'shop' and date = date '{SECOND}' and dimension = 'event')",
        [
            {
                "project_id": "shop",
                "date": str(SECOND),
                "dimension": "event",
                "events": 2,
                "events_in_breakdown": None,
                "page_views": 2,
                "page_views_in_breakdown": None,
                "sessions": None,
                "sessions_in_breakdown": None,
            }
        ],
    ),
    "many lines are late": Fault(
        "raw_events",
        "share_of_late_lines_is_within_bounds",
        "select * replace (event_time + interval 61 minutes as received_at) from here where reason is null",
        [{"lines": 10, "late": 10}],
    ),
    "a field of many lines is unusable": Fault(
        "raw_events",
        "share_of_odd_fields_is_within_bounds",
        "select * replace ('user_id: empty, sent_at: odd' as warnings) from here where project_id = 'shop'",
        [{"project_id": "shop", "warning": "sent_at: odd", "lines": 5, "odd": 5}],
    ),
    "many lines are rejected": Fault(
        "raw_events",
        "share_of_rejected_lines_is_within_bounds",
        "from here",
        [{"project_id": None, "lines": 12, "rejected": 2}],
    ),
    "nothing lands any more": Fault(
        "raw_events",
        "landing_is_fresh",
        "from here where received_hour < $start + interval 1 day",
        [{"last_received_hour_ended": str(START + DAY)}],
    ),
}
KNOWN = {("raw_events", "share_of_rejected_lines_is_within_bounds"), ("raw_events", "landing_is_fresh")}
"""Warnings of the platform without a fault: two of twelve lines are rejected, and the last one landed over a day ago."""


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_check_fails_on_its_fault_and_names_it(platform: Platform, fault: Fault) -> None:
    replace(platform, fault.table, fault.rows)
    verdict = judge(platform, fault.table)[fault.table, fault.check]
    assert not verdict.passed
    assert sorted(verdict.faults, key=str) == fault.faults


def test_every_check_has_a_fault(platform: Platform) -> None:
    with_faults = {(fault.table, fault.check) for fault in FAULTS.values()}
    # Tested in truth/test_copies.py, because it is about lines rather than about how the table was built.
    with_faults |= {("events", "copies_that_differ")}
    common = {(name, check) for name in TABLES for check in ("schema_equals_contract", "files_are_intact")}
    # The latter is tested in faults/test_damage.py, and this in metrics/test_fallback.py, as it is not about rows.
    left_out = {(name, "every_metric_is_computed") for name in ("hourly_metrics", "daily_metrics")}
    assert set(judge(platform)) == with_faults | common | left_out


def test_nothing_else_fails_without_a_fault(platform: Platform) -> None:
    assert failed(judge(platform)) == KNOWN


def test_columns_that_a_contract_lacks_are_named(platform: Platform) -> None:
    for name in TABLES:
        with platform.lakehouse.snapshot(name).iceberg.update_schema() as update:
            update.add_column("stray", StringType())
    verdicts = judge(platform)
    for name in TABLES:
        faults = verdicts[name, "schema_equals_contract"].faults
        assert faults == [{"column": "stray", "promised": None, "actual": "string"}]


def test_the_landing_zone_is_fresh_while_lines_keep_coming(platform: Platform) -> None:
    key = ("raw_events", "landing_is_fresh")
    for at, fresh in ((NOON + DAY + 7 * HOUR, True), (NOON + DAY + 7 * HOUR + timedelta(seconds=1), False)):
        with time_machine.travel(at.replace(tzinfo=UTC), tick=False):
            assert judge(platform, "raw_events")[key].passed is fresh


BEHIND: dict[str, tuple[Callable[[Platform], None], dict[tuple[str, str], int]]] = {
    "events and rejected lines": (
        lambda _: None,
        {
            ("rejected_events", "every_line_is_accepted_or_rejected"): 1,
            ("events", "every_accepted_line_is_an_event_or_a_copy"): 1,
            ("events", "event_ids_are_unique"): 1,
            ("events", "copies_that_differ"): 1,
        },
    ),
    "sessions": (
        lambda platform: build(platform, ("rejected_events", "events")),
        {
            ("hourly_metrics", "hourly_equals_recount_of_events"): 1,
            ("sessions", "sessions_account_for_every_event"): 1,
            ("daily_metrics", "daily_equals_recount_of_events"): 1,
            ("daily_breakdowns", "breakdowns_add_up_to_events"): 1,
        },
    ),
    "metrics": (
        lambda platform: build(platform, ("rejected_events", "events", "sessions")),
        {
            ("hourly_metrics", "hourly_equals_recount_of_events"): 1,
            ("daily_metrics", "daily_equals_recount_of_events"): 2,
            ("daily_breakdowns", "breakdowns_add_up_to_events"): 2,
        },
    ),
}
"""The stale table, what was built, and the number of partitions that are not judged; sessions were built for both days."""


@pytest.mark.parametrize("behind", BEHIND)
def test_stale_partitions_are_not_judged_until_they_are_rebuilt(platform: Platform, behind: str) -> None:
    built_so_far, left_out = BEHIND[behind]
    at = NOON + DAY + timedelta(minutes=5)
    platform.land(at, [event("late", at), b"neither is this\n"], "late")
    load(platform)
    built_so_far(platform)
    verdicts = judge(platform)
    assert {key: verdict.not_judged for key, verdict in verdicts.items() if verdict.not_judged} == left_out
    assert failed(verdicts) == KNOWN

    build(platform)
    # A run in which `events` has nothing to rebuild skips what depends on it.
    build(platform, ("hourly_metrics",))
    verdicts = judge(platform)
    assert {key: verdict.not_judged for key, verdict in verdicts.items() if verdict.not_judged} == {}
    assert failed(verdicts) == KNOWN


def test_other_partitions_are_judged_while_some_are_stale(platform: Platform) -> None:
    """The first day lacks its sessions, the second one is stale."""
    replace(platform, "sessions", f"from here where started_at::date <> date '{FIRST}'")
    at = NOON + DAY
    platform.land(at, [event("late", at)], "late")
    load(platform)
    build(platform, ("events",))
    verdict = judge(platform, "sessions")["sessions", "sessions_account_for_every_event"]
    assert {fault["day"] for fault in verdict.faults} == {str(FIRST)}


def test_a_day_is_not_judged_while_the_day_before_is_stale(platform: Platform) -> None:
    at = NOON + timedelta(minutes=5)
    platform.land(at, [event("late", at)], "late")
    load(platform)
    build(platform, ("events",))
    second = Window.of_day(SECOND)
    assert judge(platform, "sessions", window=second)["sessions", "sessions_account_for_every_event"].not_judged == 1


def test_a_line_that_lands_while_the_daily_job_runs_fails_no_check(platform: Platform) -> None:
    """As with live traffic: the checks run after new events that the sessions don't have yet."""
    at, second = NOON + DAY, Window.of_day(SECOND)
    platform.land(at, [event("late", at)], "late")
    load(platform)
    build(platform, ("events",))
    sessions = judge(platform, "sessions", window=second)["sessions", "sessions_account_for_every_event"]
    assert sessions == Verdict(passed=True, faults=[], not_judged=1)
    build(platform, ("sessions",))
    sessions = judge(platform, "sessions", window=second)["sessions", "sessions_account_for_every_event"]
    assert sessions == Verdict(passed=True, faults=[], not_judged=0)
