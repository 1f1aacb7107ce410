"""Copies count once by their id, whatever the times in a resend say; different events with one id are shown."""

import itertools
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from radar_assets.calendar import Calendar
from radar_assets.events import checks
from radar_assets.events.enrichment import events_model, rebuild_events
from radar_assets.events.landing import list_hours, write_segment
from radar_assets.events.loading import load_raw_events
from radar_assets.events.related_rows import KEYS_PREFIX, related_rows
from radar_assets.events.sites import public_suffixes
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.events.traffic_sources import referrer_sources
from radar_assets.events.user_agents import describe_user_agents
from radar_assets.lakehouse.files import from_unit
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.lakehouse.staleness import stale
from radar_assets.orchestration.checks import View
from radar_assets.settings import Settings, load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.platform import event, line
from radar_assets_tests.truth.traffic import CASES, received, requests_of

NOON = datetime(2026, 3, 10, 12)
Batches = Sequence[Sequence[dict[str, Any]]]


def build(lakehouse: Lakehouse, batch: Sequence[dict[str, Any]], name: str) -> set[datetime]:
    """Land and load lines, and rebuild the hours of `events` that are stale. Returns these."""
    landing = lakehouse.settings.landing
    by_hour: dict[datetime, list[bytes]] = {}
    for fields in batch:
        at = datetime.fromisoformat(fields["received_at"].removesuffix("Z"))
        by_hour.setdefault(at.replace(minute=0, second=0, microsecond=0), []).append(line(fields))
    for hour, lines in by_hour.items():
        write_segment(landing, hour, name, lines)
    hours = sorted(list_hours(landing))
    load_raw_events(lakehouse, ["shop"], Window(hours[0], hours[-1] + HOUR), only_missing=True)
    found = stale(lakehouse.snapshot("raw_events"), lakehouse.snapshot("events"), Calendar({}))
    rebuilt = {from_unit(hour, "hour") for hour in found}
    rebuild_events(lakehouse, [Window.of_hour(hour) for hour in sorted(rebuilt)])
    return rebuilt


def counted(home: Path, batches: Batches, **overrides: Any) -> list[tuple[str, datetime]]:
    """Id and time of the events of batches that land one after the other."""
    lakehouse = open_lakehouse(load_settings(home=home, threads=2, **overrides).prepare())
    for number, batch in enumerate(batches):
        build(lakehouse, batch, f"batch-{number}")
    statement = SqlModel("counted", "select event_id, event_time from events order by all")
    rows = lakehouse.engine.query(statement, {"events": Files.of(lakehouse.snapshot("events"))}).to_pylist()
    return [(row["event_id"], row["event_time"]) for row in rows]


def resend(first: dict[str, Any], after: timedelta, **fields: Any) -> dict[str, Any]:
    """The same event, received later."""
    at = datetime.fromisoformat(first["received_at"].removesuffix("Z")) + after
    return {**first, "received_at": f"{at.isoformat()}Z", **fields}


def stamp(at: datetime) -> str:
    return f"{at.isoformat()}Z"


@pytest.mark.parametrize("order", ["as received", "backwards", "each alone", "each alone, backwards"])
def test_the_case_of_resends(tmp_path: Path, order: str) -> None:
    text = (CASES / "resent-later" / "lines.ndjson").read_text()
    lines = [{**json.loads(line), "project_id": "shop"} for line in text.splitlines()]
    lines = lines[::-1] if order.endswith("backwards") else lines
    batches = [[line] for line in lines] if order.startswith("each") else [lines]
    assert counted(tmp_path, batches) == [(id, datetime(2026, 11, 10, 10)) for id in "abcde"]


def test_the_case_of_a_retry_with_an_old_sent_at(settings: Settings) -> None:
    with received(settings, requests_of("retry-with-old-sent-at"), "retry-with-old-sent-at") as traffic:
        assert traffic.rows("select count(*) from raw_events where reason is null") == [(4,)]
        assert traffic.rows("select count(*), sum(revenue) from events") == [(2, 100)]
        assert traffic.day("conversions") == 2


FIRST = event("x", NOON, sent_at=stamp(NOON), event="purchase")
RESENDS = {
    "the same bytes": resend(FIRST, 5 * HOUR),
    "the same bytes, days later": resend(FIRST, 6 * DAY),
    "a new time": resend(FIRST, 3 * HOUR, timestamp=stamp(NOON + 3 * HOUR), sent_at=stamp(NOON + 3 * HOUR)),
    "a new time, a week later": resend(FIRST, 7 * DAY, timestamp=stamp(NOON + 7 * DAY), sent_at=None),
    "a time before the first": resend(FIRST, 2 * DAY, timestamp=stamp(NOON - 3 * DAY), sent_at=None),
}


@pytest.mark.parametrize("name", RESENDS)
def test_a_resend_counts_once_whichever_lands_first(tmp_path: Path, name: str) -> None:
    again = RESENDS[name]
    for number, batches in enumerate(([[FIRST, again]], [[FIRST], [again]], [[again], [FIRST]])):
        assert counted(tmp_path / str(number), batches) == [("x", NOON)], batches


def test_copies_are_those_within_the_days_of_receipt(tmp_path: Path) -> None:
    """Each within two days of the one before is a copy, and one three days after the last one is an event again."""
    times = [NOON, NOON + 47 * HOUR, NOON + 4 * DAY - 2 * HOUR, NOON + 7 * DAY]
    events = [event("x", at, received_at=at) for at in times]
    for number, batch in enumerate(itertools.permutations(events[:3])):
        batches = [*([one] for one in batch), events[3:]]
        found = counted(tmp_path / str(number), batches, dedupe_days=2)
        assert found == [("x", times[0]), ("x", times[3])]


def test_a_copy_in_the_same_hour_is_one_however_late_it_arrives(tmp_path: Path) -> None:
    """An import of history meets what was received live, or an earlier import."""
    batches = [[FIRST], [resend(FIRST, 40 * DAY, sent_at=None)]]
    assert counted(tmp_path, batches) == [("x", NOON)]


def test_only_hours_whose_rows_change_are_rebuilt(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    build(lakehouse, [FIRST, event("y", NOON + HOUR)], "first")
    again = resend(FIRST, 5 * HOUR)
    assert build(lakehouse, [again], "again") == {NOON + 5 * HOUR}, "the first one counts as before"
    before = resend(FIRST, -HOUR)
    assert build(lakehouse, [before], "before") == {NOON - HOUR, NOON, NOON + 5 * HOUR}


def checked(lakehouse: Lakehouse, name: str, window: Window) -> list[dict[str, Any]]:
    """The rows that a check of `events` finds at fault."""
    tables = {table: lakehouse.snapshot(table) for table in ("events", "raw_events")}
    find: Any = getattr(checks, f"_{name}")
    return find(View(lakehouse, tables, window)).to_pylist()


def test_checks_know_copies_of_other_hours(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    build(lakehouse, [FIRST, event("y", NOON + 5 * HOUR)], "first")
    build(lakehouse, [resend(FIRST, 5 * HOUR)], "again")
    later, both = Window.of_hour(NOON + 5 * HOUR), Window(NOON, NOON + 6 * HOUR)
    for name, window in itertools.product(
        ("unaccounted_events", "repeated_events", "copies_that_differ"), (later, both)
    ):
        assert checked(lakehouse, name, window) == [], name

    # Built without a look at other hours, the copy counts.
    model = events_model(dedupe_days=7)

    def alone(tables: Any, windows: Any, _: object) -> Any:
        return {
            "raw_events": Files.within(tables["raw_events"], windows, by=1),
            "related_rows": Files(RAW_EVENTS, []),
            "user_agents": describe_user_agents([]),
            "referrer_sources": referrer_sources(),
            "public_suffixes": public_suffixes(),
        }

    lakehouse.rebuild(model, [later], alone)
    fault = {"hour": later.start, "accepted": 2, "events": 2, "copies": 1}
    assert checked(lakehouse, "unaccounted_events", later) == [fault]
    fault = {"project_id": "shop", "event_id": "x", "hour": NOON, "next_hour": later.start}
    for window in (later, Window.of_hour(NOON), both):
        assert checked(lakehouse, "repeated_events", window) == [fault]


def test_different_events_with_one_id_are_shown(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    page: dict[str, Any] = {"properties": {"url": "https://shop.example/other"}}
    same: dict[str, Any] = {"user_id": "known now", "properties": {"url": "https://shop.example/", "extra": 1}}
    lines = [
        event("x", NOON),
        event("x", NOON, received_at=NOON + timedelta(minutes=1), **same),
        event("x", NOON, received_at=NOON + timedelta(minutes=2), anonymous_id="another"),
        event("x", NOON + 3 * HOUR, event="sign_up", **page),
        event("y", NOON + 3 * HOUR),
    ]
    build(lakehouse, lines, "all")
    assert checked(lakehouse, "unaccounted_events", Window(NOON, NOON + 4 * HOUR)) == []
    shown = [
        {"hour": NOON, "project_id": "shop", "event_id": "x", "differs_in": "visitor", "lines": 1},
        {"hour": NOON + 3 * HOUR, "project_id": "shop", "event_id": "x", "differs_in": "event, page", "lines": 1},
    ]
    assert checked(lakehouse, "copies_that_differ", Window(NOON, NOON + 4 * HOUR)) == shown
    assert checked(lakehouse, "copies_that_differ", Window.of_hour(NOON + 3 * HOUR)) == shown[1:]


def test_rows_with_the_same_order_are_related_whatever_their_ids(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    order: dict[str, Any] = {"event": "purchase", "properties": {"order_id": " A-1 ", "revenue": 5}}
    placeholder: dict[str, Any] = {"event": "purchase", "properties": {"order_id": "undefined"}}
    build(lakehouse, [event("a", NOON, **order), event("n", NOON, **placeholder)], "first")
    lines = [
        event("b", NOON + 5 * HOUR, event="refund", properties={"ecommerce": {"transaction_id": "A-1"}}),
        event("m", NOON + 5 * HOUR, **placeholder),
        event("c", NOON + 9 * DAY, **order),
    ]
    assert build(lakehouse, lines, "later") == {NOON + 5 * HOUR, NOON + 9 * DAY}

    def related(at: datetime) -> list[str]:
        rows = related_rows(lakehouse, lakehouse.snapshot("raw_events"), [Window.of_hour(at)])
        return [] if isinstance(rows, Files) else sorted(rows["event_id"].to_pylist())

    assert related(NOON) == ["b"]
    assert related(NOON + 5 * HOUR) == ["a"]
    assert related(NOON + 9 * DAY) == []
    # What is received before other rows with the order decides about them.
    early = event("d", NOON - 2 * HOUR, **order)
    assert build(lakehouse, [early], "early") == {NOON - 2 * HOUR, NOON, NOON + 5 * HOUR}


LATE = NOON + 40 * DAY
COPIED_ORDERS: dict[str, tuple[list[tuple[datetime, ...]], bool]] = {
    "hours apart": ([(NOON, NOON), (NOON + 3 * HOUR,) * 2, (NOON + 6 * HOUR,) * 2], True),
    "days apart": ([(NOON, NOON), (NOON + 6 * DAY,) * 2, (NOON + 12 * DAY,) * 2], True),
    "the copy in an hour with its original": ([(NOON, NOON), (NOON, NOON + 9 * HOUR), (NOON + 12 * HOUR,) * 2], True),
    "the copy beside its original, weeks later": ([(NOON, NOON), (NOON + HOUR, LATE), (LATE + HOUR,) * 2], True),
    "the original in the hour of the order": ([(NOON, NOON), (NOON + 3 * HOUR,) * 2, (NOON, NOON + 6 * HOUR)], True),
    "all at once": ([(NOON, LATE), (NOON + 3 * HOUR, LATE), (NOON + 6 * HOUR, LATE)], True),
    "too late for a copy": ([(NOON, NOON), (NOON + 8 * DAY,) * 2, (NOON + 9 * DAY,) * 2], False),
}
"""When a page view, a purchase with its id, and the same purchase with another id happened and were received, and whether the last one
counts."""


@pytest.mark.parametrize("case", COPIED_ORDERS)
def test_a_copy_is_not_an_order_whichever_hours_are_built_together(tmp_path: Path, case: str) -> None:
    times, is_order = COPIED_ORDERS[case]
    order: dict[str, Any] = {"event": "purchase", "properties": {"order_id": "O", "revenue": 5}}
    lines = [
        event(id, at, received_at=received + number * timedelta(seconds=1), **fields)
        for number, ((at, received), id, fields) in enumerate(zip(times, "xxy", ({}, order, order), strict=True))
    ]
    hours = sorted({at for at, _ in times})
    expected = [("x", None), ("y", "purchase")] if is_order else [("x", None), ("x", "purchase"), ("y", None)]

    def found(lakehouse: Lakehouse) -> list[tuple[str, str | None]]:
        statement = SqlModel("found", "select event_id, order_event from events order by received_at")
        rows = lakehouse.engine.query(statement, {"events": Files.of(lakehouse.snapshot("events"))}).to_pylist()
        return [(row["event_id"], row["order_event"]) for row in rows]

    for landing in itertools.permutations(lines) if case == "hours apart" else (lines, lines[::-1]):
        home = tmp_path / "-".join(str(lines.index(each)) for each in landing)
        lakehouse = open_lakehouse(load_settings(home=home, threads=2).prepare())
        for number, each in enumerate(landing):
            build(lakehouse, [each], str(number))
        assert found(lakehouse) == expected, home.name
    for building in (hours, hours[::-1]):
        for hour in building:
            rebuild_events(lakehouse, [Window.of_hour(hour)])
        assert found(lakehouse) == expected, building
    rebuild_events(lakehouse, [Window.of_hour(hour) for hour in hours])
    assert found(lakehouse) == expected


def test_a_line_that_lands_late_makes_hours_of_later_orders_stale(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    order: dict[str, Any] = {"event": "purchase", "properties": {"order_id": "O", "revenue": 5}}
    before = event("w", NOON - 2 * HOUR, received_at=NOON - HOUR, **order)
    copy, after = event("x", NOON + 3 * HOUR, **order), event("y", NOON + 9 * DAY, **order)
    build(lakehouse, [copy, after], "orders")
    assert build(lakehouse, [event("x", NOON)], "original") == {NOON, NOON + 3 * HOUR}, "the other is too far away"
    build(lakehouse, [event("z", NOON + 9 * HOUR, **order)], "another")
    assert build(lakehouse, [before], "before") == {NOON + at * HOUR for at in (-2, 3, 9)}
    earliest = event("x", NOON - 3 * HOUR)
    assert build(lakehouse, [earliest], "earliest") == {NOON + at * HOUR for at in (-3, 0, 3, 9)}


def test_lines_received_at_once_come_in_one_order_whichever_hours_are_built_together(tmp_path: Path) -> None:
    """The lines with one id that are read from other hours are the first ones, so that the order between them doesn't matter."""
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    order: dict[str, Any] = {"event": "purchase", "properties": {"order_id": "O", "revenue": 5}}
    batch = [event("x", NOON, sequence=number, **fields) for number, fields in ((3, {}), (2, order), (1, {}))]
    build(lakehouse, [*batch, event("y", NOON + 3 * HOUR, **order)], "batch")
    rebuild_events(lakehouse, [Window.of_hour(NOON + 3 * HOUR)])
    statement = SqlModel("orders", "select event_id from events where order_event is not null")
    rows = lakehouse.engine.query(statement, {"events": Files.of(lakehouse.snapshot("events"))}).to_pylist()
    assert rows == [{"event_id": "y"}]


def test_an_id_that_is_used_for_everything_fetches_a_row_an_hour(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    lines = [event("x", NOON + hour * HOUR, anonymous_id=f"v{number}") for hour in range(3) for number in range(50)]
    build(lakehouse, lines, "all")
    rows = related_rows(lakehouse, lakehouse.snapshot("raw_events"), [Window.of_hour(NOON)])
    assert not isinstance(rows, Files)
    assert rows.num_rows == 2


def test_the_index_is_made_again_where_it_is_missing_or_of_another_version(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(load_settings(home=tmp_path, threads=2).prepare())
    build(lakehouse, [FIRST], "first")
    for file in (tmp_path / "cache").glob(f"{KEYS_PREFIX}*"):
        file.unlink()
    lakehouse.engine.version += " of tomorrow"
    assert build(lakehouse, [resend(FIRST, 5 * HOUR)], "again") == {NOON + 5 * HOUR}
    assert checked(lakehouse, "unaccounted_events", Window(NOON, NOON + 6 * HOUR)) == []


def test_the_case_of_one_id_for_two_events(settings: Settings) -> None:
    with received(
        settings, requests_of("one-id-two-events"), "one-id-two-events", keys=["one-id-two-events"]
    ) as traffic:
        assert len(traffic.rows("select event_id from events")) == 1
        shown = checked(traffic.platform.lakehouse, "copies_that_differ", Window.of_hour(datetime(2026, 11, 29, 10)))
        assert [(row["differs_in"], row["lines"]) for row in shown] == [("visitor, page", 2)]
