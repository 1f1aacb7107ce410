"""A day of messy traffic equals what was worked out by hand from `docs/definitions`, before and after a late batch."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from radar_assets.events.access_logs import AccessLog
from radar_assets.events.importer import import_file
from radar_assets.events.inspection import inspect_events, inspect_lines
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.settings import Settings
from radar_assets.windows import DAY, Window
from radar_assets_tests.orchestration.test_checks import failed, judge
from radar_assets_tests.platform import Platform
from radar_assets_tests.truth.messy_day import ACCESS_LOG, CONFIG, KEYS, LATE, SHOP, TRAFFIC
from radar_assets_tests.truth.messy_tables import BREAKDOWNS, HOURS, LATE_VISITS, METRICS, VISITS, WARNINGS
from radar_assets_tests.truth.traffic import Traffic, received

TODAY = date(2026, 11, 29)
TABLES = ("raw_events", "rejected_events", "events", "sessions", "hourly_metrics", "daily_metrics", "daily_breakdowns")
HEADINGS = ("start ", "hour ", "dimension ")
OF_VISITS = f"""
select
    strftime(started_at, '%d %H:%M ') || cast(duration_s as integer) as start,
    if(length(visitor_id) = 32, '(hash)', visitor_id) || ' ' || case
        when is_bot then 'bot' when is_internal then 'internal' when user_id is null then '-'
        else array_to_string(
            [user_id] || coalesce(json_extract_string(other_user_ids, '$[*]'), cast([] as varchar[])), '+'
        )
    end as who,
    concat_ws(' ', events, interactions, page_views, if(is_bounce, 'bounce', '-')) as counts,
    if(is_new_visitor, 'new', 'known') as known,
    concat_ws(' ', entry_page, exit_page) as pages,
    channel,
    concat_ws(' ', device_type, coalesce(country, '-')) as client,
    concat_ws(' ', orders, revenue, refunds) as money
from sessions
where started_at < timestamp '{TODAY + DAY}'
order by all
"""


def cells(table: str) -> Iterator[list[str]]:
    """The cells of the rows of a table, without its heading and notes."""
    rows = [line for line in table.strip().splitlines() if not line.startswith("#")]
    return ([" ".join(cell.split()) for cell in row.split("|")] for row in rows if not row.startswith(HEADINGS))


def visits(*tables: str) -> list[list[str]]:
    """The visits of a table as changed by others."""
    found = {}
    for row in (row for table in tables for row in cells(table)):
        key = (row[0].split()[:2], row[1].split()[0])
        found[str(key)] = row
    return sorted(row for row in found.values() if row[2] != "gone")


def numbers(table: str, columns: int, late: bool) -> dict[str, list[float]]:
    """The numbers of each row by its first cell, before or after the late batch."""
    found = {}
    for row in cells(table):
        before, after = row[1 : 1 + columns], row[1 + columns :]
        texts = " ".join(after if late and after else before).strip()
        if texts and texts != "gone":
            found[row[0]] = [float(text) for text in texts.split()]
    return found


def written(number: object) -> str:
    return f"{float(str(number)):.10g}"


def expected_visits(late: bool) -> list[list[str]]:
    return visits(VISITS, LATE_VISITS) if late else visits(VISITS)


def assert_day(traffic: Traffic, late: bool) -> None:
    """All tables are those worked out by hand, and all checks pass."""
    found = [[*map(str, row[:-1]), " ".join(map(written, row[-1].split()))] for row in traffic.rows(OF_VISITS)]
    assert sorted(found) == expected_visits(late)

    values = {name: traffic.day(name) for name in METRICS}
    assert values == {name: pytest.approx(pair[late], rel=1e-12) for name, pair in METRICS.items()}

    names = ("events", "page_views", "visitors", "orders", "revenue", "refunds")
    hourly = {
        (f"{hour:%H}", name): value
        for hour, name, value in traffic.rows(
            f"select hour, metric, value from hourly_metrics where cast(hour as date) = date '{TODAY}'"
        )
    }
    by_hour = {hour: [hourly[hour, name] for name in names] for hour in sorted({hour for hour, _ in hourly})}
    assert by_hour == {hour: pytest.approx(row) for hour, row in numbers(HOURS, 2, late).items()}
    for name in ("signups", "errors", "conversions", "net_revenue"):
        assert sum(value for (_, each), value in hourly.items() if each == name) == pytest.approx(METRICS[name][late])

    expected = numbers(BREAKDOWNS, 1, late)
    dimensions = {row.split()[0] for row in expected}
    rows = traffic.rows(
        "select dimension, value, events, page_views, visitors, sessions from daily_breakdowns"
        f" where date = date '{TODAY}'"
    )
    breakdowns = {
        f"{row[0]} {row[1]}": [each for each in row[2:] if each is not None] for row in rows if row[0] in dimensions
    }
    assert breakdowns == expected

    verdicts = judge(traffic.platform, *TABLES, window=Window(datetime(2026, 11, 28), datetime(2026, 12, 1)))
    # Whether landing is fresh is about now.
    assert failed(verdicts) - {("raw_events", "landing_is_fresh")} == {("events", "copies_that_differ")}
    (shown,) = verdicts["events", "copies_that_differ"].faults
    assert (shown["event_id"], shown["differs_in"], shown["lines"]) == ("same-id", "visitor, page", 1)


def test_a_messy_day_is_what_was_worked_out_by_hand_before_and_after_a_late_batch(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    log.write_text(ACCESS_LOG)
    Path(settings.config_file).write_text(CONFIG)

    def import_log(platform: Platform) -> None:
        engine, site = platform.lakehouse.engine, AccessLog(SHOP)
        import_file(log, settings.landing, engine=engine, format="apache", start=TODAY, project="shop", log=site)

    def whys(event_id: str) -> list[str]:
        return [
            each.why for each in inspect_events(traffic.platform.lakehouse, Window.of_day(TODAY), event_id=event_id)
        ]

    requests = sorted(TRAFFIC, key=lambda request: request["clock"])
    with received(settings, requests, "shop", keys=KEYS, prepare=import_log) as traffic:
        assert_day(traffic, late=False)
        assert whys("quin-order") == ["a server sent it, and its person had no visit in the 30 minutes before"]
        # The query of `docs/definitions/events.md`.
        warnings = traffic.rows(
            "select warning, count(*) as events from events, unnest(string_split(warnings, ', ')) as warned(warning) group by all"
        )
        assert dict(warnings) == WARNINGS
        assert traffic.rows("select reason from rejected_events") == [("no_visitor",)]
        assert traffic.rows("select event from events where anonymous_id = 'jules' and type = 'track'") == [
            ("Caf\ufffd opened",)
        ]

        traffic.receive(LATE)
        assert {reply.status for reply in traffic.replies} == {200, 202}
        assert_day(traffic, late=True)
        assert whys("quin-order") == ["a server sent it during a visit of this person, or within 30 minutes after it"]
        lines = inspect_lines(traffic.platform.lakehouse, "jon-1", "shop")
        assert [line.verdict for line in lines] == ["event", "copy", "copy", "copy"]


def test_every_metric_is_worked_out() -> None:
    assert METRICS.keys() == {metric.name for metric in STANDARD_METRICS}


@pytest.mark.parametrize("late", [False, True])
def test_what_was_worked_out_adds_up(late: bool) -> None:
    """The tables agree with each other, so that an error in one of them shows without the code that they are for."""
    of_today = [
        row for row in expected_visits(late) if row[0].startswith("29") and row[1].split()[1] not in ("bot", "internal")
    ]
    counts = [row[2].split() for row in of_today]
    events, page_views = (sum(int(row[place]) for row in counts) for place in (0, 2))
    size, bounces = len(of_today), sum(row[3] == "bounce" for row in counts)
    duration = sum(int(row[0].split()[2]) for row in of_today)
    metrics = {name: pair[late] for name, pair in METRICS.items()}
    assert metrics["sessions"] == size
    assert metrics["bounce_rate"] == bounces / size
    assert metrics["session_duration_avg_s"] == duration / size
    assert metrics["pages_per_session"] == page_views / size

    by_hour = [sum(column) for column in zip(*numbers(HOURS, 2, late).values(), strict=True)]
    for place, name in enumerate(("events", "page_views", "", "orders", "revenue", "refunds")):
        if name:
            assert by_hour[place] == pytest.approx(metrics[name]), name
    assert metrics["net_revenue"] == pytest.approx(metrics["revenue"] - metrics["refunds"])

    breakdowns = numbers(BREAKDOWNS, 1, late)
    for dimension in ("channel", "device", "country", "entry_page", "page"):
        rows = [row for value, row in breakdowns.items() if value.split()[0] == dimension]
        if dimension == "page":
            assert [sum(row[place] for row in rows) for place in (0, 1)] == [metrics["events"], metrics["page_views"]]
        else:
            assert [sum(row[place] for row in rows) for place in (0, 1, 3)] == [events, page_views, size], dimension
