"""The standard metrics: given events and sessions, expected numbers."""

import json
import random
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radar_assets.events.event_names import STANDARD_NAMES, Meaning
from radar_assets.events.local_days import DAY_RELATIONS
from radar_assets.lakehouse.sql import column_lineage, load_model
from radar_assets.metrics.composition import compose
from radar_assets.metrics.registry import STANDARD_METRICS, Grain
from radar_assets.tables import TABLES
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.metrics.relations import LAYER, MONDAY, NOON, Row, event, of_day, of_hour, session, values

OF_EVENTS = {metric.name for metric in STANDARD_METRICS if metric.source == "events"}


def test_events_of_an_hour() -> None:
    found = of_hour(
        [
            event("a"),
            event("a", event="Sign Up", user_id="u"),
            event("b", event="purchase", order_event="purchase", order_id="1", revenue=Decimal("19.9900")),
            event("b", event="purchase", order_id="1"),
            event("b", event="Order Completed", order_event="purchase", revenue=Decimal("0.0100")),
            event("b", event="refund", order_event="refund", order_id="1", refund=Decimal("5.5000")),
            event("b", event="Subscription Started"),
            event("c", event="js-error"),
        ]
    )
    assert found == {
        "events": 8,
        "page_views": 1,
        "visitors": 3,
        "users": 1,
        "signups": 1,
        "conversions": 3,
        "orders": 2,
        "revenue": 20,
        "refunds": 5.5,
        "net_revenue": 14.5,
        "errors": 1,
        "error_rate": 0.125,
    }


def test_sessions_of_a_day() -> None:
    found = of_day(
        [event("a"), event("b")],
        [
            session("a", is_new_visitor=True),
            session("a", duration_s=90.5, page_views=4, events=9, is_bounce=False, is_new_visitor=True),
            session("b", duration_s=30, page_views=1, events=2, is_bounce=False),
            session("b"),
        ],
    )
    assert {name: value for name, value in found.items() if name not in OF_EVENTS} == {
        "sessions": 4,
        "new_visitors": 1,
        "bounce_rate": 0.5,
        "session_duration_avg_s": 30.125,
        "pages_per_session": 1.75,
    }


def test_metrics_of_sessions_have_no_hourly_values() -> None:
    assert set(of_hour([event()])) == OF_EVENTS


def test_without_sessions_counts_and_sums_are_zero_and_averages_have_no_row() -> None:
    found = of_day([event(event="scroll", is_bot=True)])
    assert found == {
        "events": 0,
        "page_views": 0,
        "visitors": 0,
        "users": 0,
        "signups": 0,
        "conversions": 0,
        "orders": 0,
        "revenue": 0,
        "refunds": 0,
        "net_revenue": 0,
        "errors": 0,
        "sessions": 0,
        "new_visitors": 0,
    }


def test_without_events_there_are_no_rows() -> None:
    assert of_day([]) == {}
    assert of_hour([event(at=NOON - timedelta(microseconds=1)), event(at=NOON + HOUR)]) == {}


@pytest.mark.parametrize("flag", ["is_bot", "is_internal"])
def test_bots_and_internal_traffic_are_in_no_metric(flag: str) -> None:
    others = [event("x"), event("x", event="error", user_id="u", revenue=Decimal(1))]
    others = [{**row, flag: True} for row in others]
    other_session = {**session("x", is_new_visitor=True), flag: True}
    assert of_day([*others, event("a")], [other_session, session("a")]) == of_day([event("a")], [session("a")])


def test_visitors_did_something_in_a_browser_or_app() -> None:
    events = [event("a"), event("passive", is_interactive=False), event("server", user_id="u", is_from_server=True)]
    found = of_hour(events)
    assert (found["visitors"], found["users"], found["events"]) == (1, 1, 3)


def test_events_of_files_written_before_the_flags_existed_count() -> None:
    row = event("a", is_interactive=None, is_from_server=None, is_internal=None)
    assert of_hour([row]) == of_hour([event("a")])


def test_a_visit_joins_the_ids_that_are_sent_with_its_session_id() -> None:
    events = [event("anonymous", session_id="s"), event("u", session_id="s", user_id="u"), event("other")]
    assert of_hour(events)["visitors"] == 2


def test_a_known_user_on_a_new_device_is_not_new() -> None:
    events = [event("tablet"), event("tablet", user_id="u")]
    sessions = [
        session("tablet", is_new_visitor=True),
        session("tablet", user_id="u"),
        session("b", is_new_visitor=True),
    ]
    found = of_day(events, sessions)
    assert (found["visitors"], found["new_visitors"], found["sessions"]) == (1, 1, 3)


def test_all_users_of_one_computer_are_visitors_and_new() -> None:
    users = [f"u{number}" for number in range(10)]
    others = json.dumps(users[1:])
    visit = session("computer", user_id="u0", other_user_ids=others, is_new_visitor=True, events=10, page_views=10)
    found = of_day([event("computer", user_id=user) for user in users], [visit])
    assert (found["visitors"], found["new_visitors"], found["sessions"]) == (10, 10, 1)
    assert found["pages_per_session"] == 10


@pytest.mark.parametrize(
    "metric, meanings", [("signups", ["sign_up"]), ("conversions", ["purchase", "conversion"]), ("errors", ["error"])]
)
def test_each_name_of_an_event_counts_once(metric: str, meanings: list[Meaning]) -> None:
    names = [name for meaning in meanings for name in STANDARD_NAMES[meaning]]
    assert of_hour([event(event=name) for name in names])[metric] == len(set(names))


def test_money_leaves_out_bots_and_internal_traffic() -> None:
    purchase = {"event": "purchase", "order_event": "purchase", "revenue": Decimal(7), "refund": Decimal(3)}
    found = of_day([event(**purchase), event(is_bot=True, **purchase), event(is_internal=True, **purchase)])
    names = ("conversions", "orders", "revenue", "refunds", "net_revenue")
    assert [found[name] for name in names] == [1, 1, 7, 3, 4]


def test_events_of_earlier_versions_count_by_their_names() -> None:
    found = of_hour([event(event="Order Completed"), event(event="js-error")])
    assert [found[name] for name in ("orders", "conversions")] == [1, 1]


@pytest.mark.parametrize(
    "name, metric",
    [
        ("Signed Up", "signups"),
        ("user-signed-up", "signups"),
        ("CompleteRegistration", "signups"),
        ("ORDER_COMPLETED", "conversions"),
        ("$exception", "errors"),
        ("Application Crashed", "errors"),
    ],
)
def test_names_count_in_every_spelling(name: str, metric: str) -> None:
    found = of_hour([event(event=name)])
    assert {"signups", "conversions", "errors"} & {name for name, value in found.items() if value == 1} == {metric}


@pytest.mark.parametrize("name", ["signups", "purchase_failed", "no error", "re-purchase", "Page_View"])
def test_similar_names_do_not_count(name: str) -> None:
    found = of_hour([event(event=name)])
    assert [found[metric] for metric in ("signups", "conversions", "errors", "page_views")] == [0, 0, 0, 0]


class TestVisitors:
    """An anonymous visitor who is seen with a user id within the hour or day counts as that user."""

    def test_anonymous_events_count_as_the_user_who_signs_in_later(self) -> None:
        assert of_hour([event("phone"), event("phone", user_id="u")])["visitors"] == 1

    def test_one_user_with_two_devices_is_one_visitor(self) -> None:
        events = [event("phone"), event("phone", user_id="u"), event("laptop", user_id="u"), event("laptop")]
        assert of_hour(events)["visitors"] == 1

    def test_two_users_of_one_device_are_two_visitors_including_its_anonymous_events(self) -> None:
        events = [event("phone"), event("phone", user_id="u"), event("phone", user_id="w")]
        assert of_hour(events)["visitors"] == 2

    def test_a_sign_in_in_another_hour_merges_visitors_of_the_day_but_not_of_the_hour(self) -> None:
        events = [event("phone"), event("laptop", user_id="u"), event("phone", at=NOON + HOUR, user_id="u")]
        assert of_hour(events)["visitors"] == 2
        assert of_day(events)["visitors"] == 1

    def test_a_device_in_two_projects_is_identified_separately(self) -> None:
        events = [event("phone"), event("laptop", user_id="u"), event("phone", project_id="p2", user_id="u")]
        assert of_hour(events)["visitors"] == 2

    def test_new_visitors_are_identified_in_the_same_way(self) -> None:
        events = [event("phone"), event("phone", user_id="u"), event("laptop", user_id="u")]
        sessions = [session("phone", is_new_visitor=True), session("laptop", user_id="u", is_new_visitor=True)]
        assert of_day(events, sessions)["new_visitors"] == 1


def some_traffic(seed: int, days: int) -> tuple[list[Row], list[Row]]:
    """Events and sessions of a few visitors, some of them on adjacent days."""
    draw = random.Random(seed)
    moment = lambda: MONDAY - DAY + timedelta(microseconds=draw.randrange((days + 2) * 86_400_000_000))  # noqa: E731
    events = [
        event(
            f"v{draw.randrange(12)}",
            moment(),
            project_id=f"p{draw.randrange(3)}",
            user_id=draw.choice([None, None, "u1", "u2", "u3"]),
            event=draw.choice(["page_view", "page_view", "Sign Up", "purchase", "error", "click"]),
            is_bot=draw.random() < 0.1,
            is_internal=draw.random() < 0.1,
            is_interactive=draw.random() < 0.8,
            is_from_server=draw.random() < 0.2,
            session_id=draw.choice([None, None, "s1", "s2"]),
            revenue=draw.choice([None, Decimal(draw.randrange(10**9)).scaleb(-4)]),
            refund=draw.choice([None, Decimal(draw.randrange(10**9)).scaleb(-4)]),
            path=draw.choice([None, "", "/", "/a", "/b"]),
        )
        for _ in range(300)
    ]
    sessions = [
        session(
            f"v{draw.randrange(12)}",
            moment(),
            draw.randrange(10**9) / 1e6,
            project_id=f"p{draw.randrange(3)}",
            user_id=draw.choice([None, "u1", "u2"]),
            is_bot=draw.random() < 0.1,
            is_internal=draw.random() < 0.1,
            other_user_ids=draw.choice([None, None, None, '["u8"]', '["u1", "u9"]']),
            page_views=draw.randrange(5),
            is_bounce=draw.random() < 0.4,
            is_new_visitor=draw.random() < 0.4,
            browser=draw.choice([None, "Chrome", "Firefox"]),
        )
        for _ in range(100)
    ]
    return events, sessions


def recounted(events: list[Row], window: Window, step: timedelta) -> dict[tuple[str, datetime, str], float]:
    """The metrics of events, recounted row by row."""
    groups: dict[tuple[str, datetime], list[Row]] = defaultdict(list)
    for row in events:
        if window.start <= row["event_time"] < window.end:
            group = groups[row["project_id"], MONDAY + (row["event_time"] - MONDAY) // step * step]
            group += [] if row["is_bot"] or row["is_internal"] else [row]
    found: dict[tuple[str, datetime, str], float] = {}
    for (project, start), rows in groups.items():
        users: dict[Any, Any] = {}
        for row in rows:
            for key in (row["visitor_id"], ("session", row["session_id"])):
                if row["user_id"] and key != ("session", None):
                    users[key] = min(row["user_id"], users.get(key, row["user_id"]))
        named = [{**row, "name": row["event"].lower().replace(" ", "_")} for row in rows]
        errors = sum(row["name"] == "error" for row in named)
        people = [row for row in rows if not row["is_bot"]]
        revenue, refunds = (float(sum(row[name] or 0 for row in people)) for name in ("revenue", "refund"))
        found |= {
            (project, start, name): value
            for name, value in {
                "events": len(rows),
                "page_views": sum(row["event"] == "page_view" for row in rows),
                "visitors": len(
                    {
                        row["user_id"]
                        or users.get(row["visitor_id"])
                        or users.get(("session", row["session_id"]), row["visitor_id"])
                        for row in rows
                        if row["is_interactive"] and not row["is_from_server"]
                    }
                ),
                "users": len({row["user_id"] for row in rows} - {None}),
                "signups": sum(row["name"] == "sign_up" for row in named),
                "conversions": sum(row["name"] == "purchase" and not row["is_bot"] for row in named),
                "orders": sum(row["name"] == "purchase" for row in named),
                "revenue": revenue,
                "refunds": refunds,
                "net_revenue": float(Decimal(str(revenue)) - Decimal(str(refunds))),
                "errors": errors,
                "error_rate": errors / len(rows) if rows else None,
            }.items()
            if value is not None
        }
    return found


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_metrics_of_events_equal_a_recount_row_by_row(seed: int) -> None:
    events, sessions = some_traffic(seed, days=2)
    window = Window(MONDAY, MONDAY + 2 * DAY)
    assert values("hour", window, events) == recounted(events, window, HOUR)
    daily = values("day", window, events, sessions)
    assert {key: value for key, value in daily.items() if key[2] in OF_EVENTS} == {
        (project, start.date(), name): value for (project, start, name), value in recounted(events, window, DAY).items()
    }


@pytest.mark.parametrize("grain", ["hour", "day"])
def test_a_range_equals_its_hours_or_days_one_by_one(grain: Grain) -> None:
    events, sessions = some_traffic(seed=1, days=2)
    window = Window(MONDAY, MONDAY + 2 * DAY)
    parts = [Window.of_hour(hour) for hour in window.hours()] if grain == "hour" else map(Window.of_day, window.days())
    one_by_one: dict[Any, float] = {}
    for part in parts:
        one_by_one |= values(grain, part, events, sessions)
    assert values(grain, window, events, sessions) == one_by_one
    assert len({start for _, start, _ in one_by_one}) > 1


def test_values_are_bitwise_equal_in_any_order_of_rows_and_number_of_threads() -> None:
    events, sessions = some_traffic(seed=2, days=1)
    window = Window.of_day(MONDAY.date())
    first = values("day", window, events, sessions)
    for seed in range(5):
        random.Random(seed).shuffle(events)
        random.Random(seed).shuffle(sessions)
        again = values("day", window, events, sessions, threads=1 + seed % 3)
        assert {key: value.hex() for key, value in again.items()} == {key: value.hex() for key, value in first.items()}


def test_values_have_a_lineage_to_columns_of_events_and_sessions() -> None:
    lineage = column_lineage(
        compose(load_model(LAYER, "daily_metrics"), STANDARD_METRICS, "day"), tuple(TABLES.values()), **DAY_RELATIONS
    )
    assert lineage["date"] == [("events", "event_time")]
    assert {("events", "revenue"), ("events", "visitor_id"), ("sessions", "duration_s")} <= set(lineage["value"])
    hourly = column_lineage(
        compose(load_model(LAYER, "hourly_metrics"), STANDARD_METRICS, "hour"), tuple(TABLES.values())
    )
    assert {table for table, _ in hourly["value"]} == {"events"}


def test_every_metric_has_a_title_and_a_description() -> None:
    assert len({metric.name for metric in STANDARD_METRICS}) == len(STANDARD_METRICS) == 17
    for metric in STANDARD_METRICS:
        assert metric.title
        assert metric.description.endswith(".")
        assert metric.unit


def test_the_registry_is_read_without_loading_the_parser() -> None:
    code = "import radar_assets.metrics.registry, sys; print('sqlglot' in sys.modules, 'duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
