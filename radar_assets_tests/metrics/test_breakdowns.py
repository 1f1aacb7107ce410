"""Daily breakdowns: given events and sessions, expected rows."""

import json
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_assets.events.local_days import DAY_RELATIONS
from radar_assets.lakehouse.sql import column_lineage, load_model
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, Window
from radar_assets_tests.metrics.relations import LAYER, MONDAY, NOON, Row, breakdowns, event, session
from radar_assets_tests.metrics.test_standard_metrics import some_traffic

OF_EVENTS = {"page": "path", "event": "event"}
OF_SESSIONS = {
    "entry_page": "entry_page",
    "exit_page": "exit_page",
    "referrer": "referrer_domain",
    "channel": "channel",
    "utm_source": "utm_source",
    "utm_medium": "utm_medium",
    "utm_campaign": "utm_campaign",
    "browser": "browser",
    "os": "os",
    "device": "device_type",
    "country": "country",
}


def of_dimension(dimension: str, events: list[Row], sessions: list[Row] = []) -> dict[str, Any]:  # noqa: B006
    """The values of a dimension on Monday in project `p1`."""
    found = breakdowns(events, sessions)
    return {value: row for (project, _, name, value), row in found.items() if (project, name) == ("p1", dimension)}


def test_pages_are_those_of_events() -> None:
    events = [event("a", path="/"), event("b", path="/"), event("b", path="/", event="click"), event("b", path="/docs")]
    assert of_dimension("page", events) == {"/": (3, 2, 2, None), "/docs": (1, 1, 1, None)}


def test_event_names_are_unchanged() -> None:
    events = [event("a"), event("a", event="Sign Up"), event("b", event="sign_up")]
    assert of_dimension("event", events) == {
        "page_view": (1, 1, 1, None),
        "Sign Up": (1, 0, 1, None),
        "sign_up": (1, 0, 1, None),
    }


def test_sessions_count_with_all_their_events() -> None:
    sessions = [
        session("a", channel="Direct", events=5, page_views=3),
        session("a", channel="Direct", events=1, page_views=1),
        session("b", channel="Direct", events=2, page_views=1),
        session("b", channel="Email", events=7, page_views=0),
    ]
    assert of_dimension("channel", [], sessions) == {"Direct": (8, 5, 2, 3), "Email": (7, 0, 1, 1)}


def test_each_dimension_of_sessions_is_broken_down() -> None:
    found = breakdowns([], [{**session(), **{column: f"some {column}" for column in OF_SESSIONS.values()}}])
    assert {(dimension, value) for _, _, dimension, value in found} == {
        (dimension, f"some {column}") for dimension, column in OF_SESSIONS.items()
    }


def test_missing_and_empty_values_are_none() -> None:
    assert of_dimension("page", [event(path=None), event(path="")]) == {"(none)": (2, 2, 1, None)}
    assert of_dimension("browser", [], [session(browser=None), session("b", browser="")]) == {"(none)": (2, 2, 2, 2)}


@pytest.mark.parametrize("flag", ["is_bot", "is_internal"])
def test_bots_and_internal_traffic_are_left_out(flag: str) -> None:
    events = [event("a", path="/"), {**event("x", path="/"), flag: True}]
    assert of_dimension("page", events) == {"/": (1, 1, 1, None)}
    sessions = [session("a", device_type="desktop"), {**session("x", device_type="bot", events=4), flag: True}]
    assert of_dimension("device", [], sessions) == {"desktop": (1, 1, 1, 1)}


def test_all_users_of_one_computer_are_visitors_by_every_dimension() -> None:
    users = [f"u{number}" for number in range(10)]
    events = [event("computer", user_id=user, path="/") for user in users]
    first = session("computer", user_id="u0", other_user_ids=json.dumps(users[1:]), channel="Direct", events=10)
    sessions = [first, session("phone", user_id="u1", channel="Direct")]
    assert of_dimension("page", events)["/"] == (10, 10, 10, None)
    assert of_dimension("channel", events, sessions) == {"Direct": (11, 2, 10, 2)}


def test_who_only_appears_in_automatic_events_or_those_of_servers_is_no_visitor() -> None:
    events = [event("a"), event("a", event="$pageleave", is_interactive=False)]
    events += [event("b", event="$pageleave", is_interactive=False), event("c", event="paid", is_from_server=True)]
    assert of_dimension("event", events) == {
        "page_view": (1, 1, 1, None),
        "$pageleave": (2, 0, 1, None),
        "paid": (1, 0, 0, None),
    }


def test_visitors_seen_with_a_user_id_count_as_that_user() -> None:
    events = [event("phone", path="/"), event("phone", path="/in", user_id="u"), event("laptop", path="/", user_id="u")]
    assert of_dimension("page", events)["/"] == (2, 2, 1, None)
    sessions = [session("phone", channel="Direct"), session("laptop", channel="Direct", user_id="u")]
    assert of_dimension("channel", events, sessions) == {"Direct": (2, 2, 1, 2)}


def test_the_first_1000_values_are_listed_and_the_rest_are_other() -> None:
    pages = [f"/{number:04}" for number in range(1003)]
    events = [event(f"v{index % 7}", path=path) for index, path in enumerate(pages)]
    events += [event("w", path="/1002"), event("w", path="/0500")]
    found = of_dimension("page", events)
    # Two pages have two events. The others have one, so the last ones in alphabetical order are not listed.
    assert set(found) == {*pages[:999], "/1002", "(other)"}
    assert found["/1002"] == (2, 2, 2, None)
    assert found["(other)"] == (3, 3, 3, None)


def test_visitors_of_the_rest_are_distinct() -> None:
    events = [event(path=f"/{number:04}", event=name) for number in range(1000) for name in ("page_view", "click")]
    events += [event("a", path="/x"), event("a", path="/y"), event("b", path="/z")]
    assert of_dimension("page", events)["(other)"] == (3, 3, 2, None)
    sessions = [session(entry_page=f"/{number:04}", events=2) for number in range(1000)]
    sessions += [session("a", entry_page="/x"), session("a", entry_page="/y"), session("b", entry_page="/z")]
    assert of_dimension("entry_page", [], sessions)["(other)"] == (3, 3, 2, 3)


def test_a_value_named_like_the_rest_belongs_to_the_rest_and_is_not_ranked() -> None:
    assert of_dimension("page", [event("a", path="(other)"), event("b", path="/")]) == {
        "(other)": (1, 1, 1, None),
        "/": (1, 1, 1, None),
    }
    events = [event(f"v{number}", path="(other)") for number in range(5)]
    events += [event("w", path=f"/{number:04}") for number in range(1001)]
    found = of_dimension("page", events)
    assert len(found) == 1001
    assert found["(other)"] == (6, 6, 6, None)


def test_values_are_treated_as_data() -> None:
    pages = ["/'; drop table x; --", "/../../etc", "/\u202eabc", "/🙂", '/"', "$start", "(NONE)", " "]
    assert set(of_dimension("page", [event(path=page) for page in pages])) == set(pages)


def test_rows_outside_the_window_are_left_out() -> None:
    outside = (MONDAY - timedelta(microseconds=1), MONDAY + DAY)
    assert breakdowns([event(at=at) for at in outside], [session(at=at) for at in outside]) == {}


def broken_down(events: list[Row], sessions: list[Row], window: Window) -> dict[tuple[str, date, str, str], Any]:
    """The breakdowns, recounted row by row; for fewer than 1,000 values."""
    events, sessions = (
        [row for row in rows if not row["is_bot"] and not row["is_internal"]] for rows in (events, sessions)
    )
    users: dict[Any, str] = {}
    for row in events:
        for name in (row["visitor_id"], ("session", row["session_id"])):
            if row["user_id"] and window.start <= row["event_time"] < window.end and name != ("session", None):
                key = (row["project_id"], row["event_time"].date(), name)
                users[key] = min(row["user_id"], users.get(key, row["user_id"]))

    def person(row: Row, day: Any) -> Any:
        visit = ("session", row["session_id"]) if "event_time" in row else None
        return row["user_id"] or users.get((*day, row["visitor_id"])) or users.get((*day, visit), row["visitor_id"])

    visitors = {
        (row["project_id"], row["event_time"].date(), person(row, (row["project_id"], row["event_time"].date())))
        for row in events
        if row["is_interactive"] and not row["is_from_server"]
    }
    for row in sessions:
        day = (row["project_id"], row["started_at"].date())
        visitors |= {(*day, who) for who in (person(row, day), *json.loads(row["other_user_ids"] or "[]"))}
    found: dict[Any, Any] = defaultdict(lambda: [0, 0, set(), 0])
    for rows, time, dimensions in ((events, "event_time", OF_EVENTS), (sessions, "started_at", OF_SESSIONS)):
        for row in rows:
            if not window.start <= row[time] < window.end:
                continue
            day = (row["project_id"], row[time].date())
            people = {person(row, day), *json.loads(row.get("other_user_ids") or "[]")}
            of_event = time == "event_time"
            for dimension, column in dimensions.items():
                total = found[(*day, dimension, row.get(column) or "(none)")]
                total[0] += 1 if of_event else row["events"]
                total[1] += row["event"] == "page_view" if of_event else row["page_views"]
                total[2] |= {who for who in people if (*day, who) in visitors}
                total[3] += 1
    return {
        key: (events, views, len(visitors), None if key[2] in OF_EVENTS else count)
        for key, (events, views, visitors, count) in found.items()
    }


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_breakdowns_equal_a_recount_row_by_row(seed: int) -> None:
    events, sessions = some_traffic(seed, days=2)
    window = Window(MONDAY, MONDAY + 2 * DAY)
    assert breakdowns(events, sessions, window) == broken_down(events, sessions, window)


def test_a_range_of_days_equals_its_days_one_by_one() -> None:
    events, sessions = some_traffic(seed=3, days=3)
    events += [event("w", NOON + DAY, path=f"/{number:04}") for number in range(1001)]
    window = Window(MONDAY, MONDAY + 3 * DAY)
    one_by_one: dict[Any, Any] = {}
    for day in window.days():
        one_by_one |= breakdowns(events, sessions, Window.of_day(day))
    assert breakdowns(events, sessions, window) == one_by_one
    assert [key[1] for key in one_by_one if key[3] == "(other)"] == [date(2026, 3, 3)]


def test_each_dimension_adds_up_to_all_events_or_sessions_of_the_day() -> None:
    events, sessions = some_traffic(seed=4, days=1)
    events += [event("w", path=f"/{number:04}") for number in range(1200)]
    sessions += [session("w", entry_page=f"/{number:04}", events=3) for number in range(1200)]
    window = Window.of_day(MONDAY.date())
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (_, _, dimension, _), (count, views, _, visits) in breakdowns(events, sessions).items():
        for index, number in enumerate((count, views, visits or 0)):
            sums[dimension][index] += number
    events = [row for row in events if window.start <= row["event_time"] < window.end]
    sessions = [row for row in sessions if window.start <= row["started_at"] < window.end]
    events, people = (
        [row for row in rows if not row["is_bot"] and not row["is_internal"]] for rows in (events, sessions)
    )
    views = sum(row["event"] == "page_view" for row in events)
    assert sums == {dimension: [len(events), views, 0] for dimension in OF_EVENTS} | {
        dimension: [sum(row["events"] for row in people), sum(row["page_views"] for row in people), len(people)]
        for dimension in OF_SESSIONS
    }


def test_every_number_has_a_lineage() -> None:
    lineage = column_lineage(load_model(LAYER, "daily_breakdowns"), tuple(TABLES.values()), **DAY_RELATIONS)
    assert {("events", "path"), ("events", "event"), ("sessions", "browser")} <= set(lineage["value"])
    assert {("events", "visitor_id"), ("sessions", "visitor_id")} <= set(lineage["visitors"])
    assert ("sessions", "events") in lineage["events"]
