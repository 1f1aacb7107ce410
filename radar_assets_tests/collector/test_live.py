"""The live numbers: they count lines that the contract accepts, like the tables, as soon as they are durable."""

import asyncio
import gzip
import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from posthog import Posthog

from radar_assets.collector.hits import _ordinary, read_hit
from radar_assets.collector.journal import open_journal
from radar_assets.collector.live import MINUTES, Live, live_counts
from radar_assets.collector.open_segments import FOLDER, recover
from radar_assets.collector.tail import Tail
from radar_assets.config import WatchedDeclarations
from radar_assets.events.contract import Rejection, parse
from radar_assets.events.landing import write_segment
from radar_assets.object_store import ObjectPath
from radar_assets.settings import Settings
from radar_assets.windows import DAY, utc_now
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.events.lines import PROJECTS, hostile_lines, lines
from radar_assets_tests.object_server import BUCKET, ObjectServer
from radar_assets_tests.platform import Platform, event, line

HOUR = datetime(2026, 3, 2, 10)
NOW = HOUR + timedelta(minutes=29, seconds=30)
BOT = {"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def land(landing: Path, *events: dict[str, Any], name: str = "a") -> None:
    write_segment(landing, HOUR, name, map(line, events))


@given(lines() | hostile_lines())
@hypothesis_settings(max_examples=250)
def test_a_line_counts_if_and_only_if_the_contract_accepts_it(landed: bytes) -> None:
    verdict, hit = parse(landed, set(PROJECTS), datetime.min.date()), read_hit(landed)
    if isinstance(verdict, Rejection):
        assert hit is None or hit.project_id not in PROJECTS
        return
    assert hit is not None
    assert hit.at == min(verdict.event_time, verdict.received_at)
    assert (hit.event_id, hit.event, hit.user_id) == (verdict.event_id, verdict.event, verdict.user_id)
    assert hit.visitor_id == (verdict.anonymous_id or verdict.user_id)


def test_lines_of_the_collector_take_the_fast_path() -> None:
    written = json.dumps(event("1", HOUR, context={"page": {"path": "/"}}), separators=(",", ":")).encode()
    assert _ordinary(written) is not None
    assert _ordinary(written.replace(b'"properties":{', b'"properties":{"url":"twice",')) is None


def mixed_events() -> list[dict[str, Any]]:
    """Four minutes with all relevant cases: bots, copies, sign-ins, all kinds of URLs."""
    addresses: list[dict[str, Any]] = [
        {"properties": {"url": "https://shop.example/a/b?q=1#top"}},
        {"properties": {"url": "//shop.example"}},
        {"properties": {"url": "shop.example/a"}},
        {"properties": {"$current_url": "http://shop.example:8080"}},
        {"properties": {"path": "/c?x=1"}, "context": {"page": {"url": "https://shop.example/d"}}},
        {"properties": {}, "context": {"page": {"url": "https://shop.example/d", "path": "/e#f"}}},
        {"properties": {"url": "/a/b"}, "context": {"page": {"path": "/e"}}},
        {"properties": {"url": "/a//b"}, "context": BOT},
        {"properties": {"title": "nowhere"}, "context": {"page": "a page"}},
        {"properties": None},
    ]
    events = []
    for number in range(300):
        fields = dict(addresses[number % len(addresses)])
        if number % 19 == 0:
            fields |= {
                "type": "group",
                "event": "group",
                "anonymous_id": f"$group:team:{number}",
                "protocol": "posthog",
            }
        if number % 7 == 0:
            fields |= {"type": "track", "event": f"click {number % 3}"}
        if number % 11 == 0:
            fields |= {"user_id": f"user {number % 2}"}
        if number % 13 == 0:
            fields |= {"anonymous_id": None, "user_id": f"user {number % 4}"}
        if number % 17 == 0:
            # Known by their session id alone.
            fields |= {"session_id": f"session {number % 2}"} | (
                {"anonymous_id": f"new {number}"} if number % 3 else {}
            )
        if number % 23 == 0:
            fields |= {"type": "identify", "event": "identify", "anonymous_id": f"passive {number}"}
        if number % 29 == 0:
            fields |= {
                "type": "track",
                "event": "paid",
                "properties": {},
                "context": {},
                "anonymous_id": f"server {number}",
            }
        at = HOUR + timedelta(minutes=10, seconds=0.8 * number)
        events.append(event(str(number), at, **{"anonymous_id": f"visitor {number % 17}", **fields}))
    return [
        *events,
        *events[::5],
        event("bad", NOW, anonymous_id="", user_id=None),
        event("other", NOW, project_id="blog"),
    ]


def test_events_page_views_visitors_and_pages_equal_the_tables(settings: Settings) -> None:
    with time_machine.travel(HOUR + DAY, tick=True), dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(settings, instance)
        events = mixed_events()
        platform.land(HOUR, events[:200], "a")
        platform.land(HOUR, events[200:], "b")
        counts = live_counts(settings.landing, "shop", HOUR + timedelta(minutes=14, seconds=30), top=100)
        platform.settle()
        metrics = platform.rows("hourly_metrics", "select metric, value from {table} where project_id = 'shop'")
        breakdowns = platform.rows("daily_breakdowns", "select * from {table} where project_id = 'shop'")
    expected = {row["metric"]: row["value"] for row in metrics}
    by = {
        (row["dimension"], row["value"], count): row[count]
        for row in breakdowns
        for count in ("events", "page_views")
        if row[count]
    }
    assert expected["events"] == counts.events == sum(minute.events for minute in counts.minutes)
    assert 200 < counts.events < 300, "without bots"
    assert expected["page_views"] == counts.page_views == sum(minute.page_views for minute in counts.minutes)
    assert expected["visitors"] == counts.visitors
    assert {("page", page.page, "page_views"): page.page_views for page in counts.top_pages} == {
        key: value for key, value in by.items() if key[0] == "page" and key[2] == "page_views"
    }
    assert {("event", name.event, "events"): name.events for name in counts.top_events} == {
        key: value for key, value in by.items() if key[0] == "event" and key[2] == "events"
    }


def test_internal_traffic_and_hash_routes_are_those_of_the_tables(settings: Settings) -> None:
    settings.config_file.write_text(
        "internal_traffic:\n  - {name: team, users: [staff], hosts: [localhost], flags: [internal]}\n"
        "pages:\n  - {project: shop, hash_routing: true}\n"
    )
    urls = ["https://shop.example/#/a", "https://shop.example/#/b?internal", "http://localhost:3000/", "/c#/d?x"]
    events = [
        event(
            str(number),
            HOUR + timedelta(seconds=number),
            anonymous_id=f"visitor {number}",
            user_id="staff" if number % 7 == 0 else None,
            properties={"url": urls[number % len(urls)]},
        )
        for number in range(40)
    ]
    declared = WatchedDeclarations(settings.config_file)()
    with time_machine.travel(HOUR + DAY, tick=True), dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(settings, instance)
        platform.land(HOUR, events, "a")
        counts = live_counts(settings.landing, "shop", HOUR + timedelta(minutes=4), declared=declared)
        platform.settle()
        rows = platform.rows("hourly_metrics", "select metric, value from {table} where project_id = 'shop'")
        breakdowns = platform.rows("daily_breakdowns", "select * from {table} where dimension = 'page'")
    metrics = {row["metric"]: row["value"] for row in rows}
    assert (metrics["events"], metrics["page_views"], metrics["visitors"]) == (16, 16, 16)
    assert (counts.events, counts.page_views, counts.visitors) == (16, 16, 16)
    assert {row["value"]: row["page_views"] for row in breakdowns} == {"/#/a": 8, "/c#/d": 8}
    assert {page.page: page.page_views for page in counts.top_pages} == {"/#/a": 8, "/c#/d": 8}


def test_changed_declarations_apply_to_the_half_hour(tmp_path: Path) -> None:
    file = tmp_path / "radar.yaml"
    live = Live(tmp_path, WatchedDeclarations(file))
    land(tmp_path, event("1", ago(minutes=4), user_id="staff"), event("2", ago(minutes=3)))
    assert live.read("shop", NOW).events == 2
    file.write_text("internal_traffic: [{name: team, users: [staff]}]")
    counts = live.read("shop", NOW)
    assert [minute.events for minute in counts.minutes if minute.events] == [counts.events] == [1]
    file.write_text("internal_traffic: [{name: team, users: [staff]}")
    land(tmp_path, event("3", ago(minutes=2), user_id="staff"), event("4", ago(minutes=2)), name="b")
    assert live.read("shop", NOW).events == 2, "an invalid file changes nothing"
    file.unlink()
    assert live.read("shop", NOW).events == 4


def test_a_servers_event_about_a_group_is_not_a_visitor(settings: Settings) -> None:
    with serving(settings) as collector:
        client = Posthog(collector.keys["shop"], host=collector.url, sync_mode=True)
        client.capture("$pageview", distinct_id="ann", properties={"$current_url": "https://shop.example/"})
        client.group_identify("company", "acme", {"size": 3})
        client.shutdown()
        counts = live_counts(settings.landing, "shop")
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(settings, instance)
        platform.settle()
        rows = platform.rows("daily_metrics", "select metric, value from {table} where project_id = 'shop'")
    metrics = {row["metric"]: row["value"] for row in rows}
    assert (counts.events, counts.visitors) == (1, 1)
    assert (metrics["events"], metrics["visitors"], metrics["sessions"]) == (1, 1, 1)


def test_five_minutes_are_exact_to_the_second_and_the_half_hour_is_by_minute(tmp_path: Path) -> None:
    times = {
        "now": ago(),
        "inside": ago(minutes=4, seconds=59),
        "outside": ago(minutes=5),
        "ahead": NOW + timedelta(seconds=1),
    }
    old = HOUR + timedelta(seconds=-1)
    land(
        tmp_path,
        *(event(name, at, received_at=at) for name, at in times.items()),
        event("old", old),
        event("first", HOUR),
    )
    counts = live_counts(tmp_path, "shop", NOW)
    assert counts.events == 2
    assert len(counts.minutes) == MINUTES
    assert {minute.at: minute.events for minute in counts.minutes if minute.events} == {
        HOUR: 1,
        HOUR + timedelta(minutes=24): 2,
        HOUR + timedelta(minutes=29): 1,
    }
    assert counts.complete_since == counts.minutes[0].at == HOUR


def test_an_event_of_a_clock_that_is_ahead_counts_when_it_was_received(tmp_path: Path) -> None:
    land(tmp_path, event("1", NOW + timedelta(hours=3), received_at=NOW))
    assert live_counts(tmp_path, "shop", NOW).events == 1


def test_visitors_are_distinguished_as_in_the_metrics(tmp_path: Path) -> None:
    land(
        tmp_path,
        event("1", ago(), anonymous_id="a"),
        event("2", ago(), anonymous_id="a", user_id="u"),
        event("3", ago(), anonymous_id="b", user_id="u"),
        event("4", ago(), anonymous_id=None, user_id="u"),
        event("5", ago(), anonymous_id="c"),
        event("6", ago(), anonymous_id="d", context=BOT),
        event("7", ago(), anonymous_id="e", project_id="blog"),
    )
    counts = live_counts(tmp_path, "shop", NOW)
    assert (counts.events, counts.page_views, counts.visitors) == (5, 5, 2)


def test_an_event_counts_once_it_is_durable_and_after_its_segment_is_published(
    settings: Settings,
) -> None:
    live = Live(settings.landing)

    def events() -> list[int]:
        return [reader.read("shop", utc_now()).events for reader in (live, Live(settings.landing))]

    async def take_in() -> list[list[int]]:
        found = [events()]
        async with open_journal(settings) as first, open_journal(settings) as second:
            for journal, name in ((first, "1"), (second, "2"), (first, "2"), (first, "3")):
                at = utc_now()
                await journal.append(line(event(name, at, received_at=at)), at)
                found.append(events())
        return [*found, events()]

    assert asyncio.run(take_in()) == [[0, 0], [1, 1], [2, 2], [2, 2], [3, 3], [3, 3]]


def test_an_incomplete_line_counts_once_it_is_complete(tmp_path: Path) -> None:
    live, written = Live(tmp_path), line(event("1", ago()))
    open_segment = tmp_path / FOLDER / f"{HOUR:%Y-%m-%dT%H}_collector-1.open"
    open_segment.parent.mkdir()
    open_segment.write_bytes(written[:-20])
    assert live.read("shop", NOW).events == 0
    open_segment.write_bytes(written)
    assert live.read("shop", NOW).events == 1
    open_segment.write_bytes(written + b"not json\n" + line(event("2", ago())))
    assert live.read("shop", NOW).events == 2


def test_segments_of_other_writers_count_once_even_if_compressed_later(tmp_path: Path) -> None:
    live = Live(tmp_path)
    land(tmp_path, event("1", ago()), event("2", ago()))
    assert live.read("shop", NOW).events == 2
    segment = next(tmp_path.rglob("*.ndjson"))
    segment.with_name("a.ndjson.gz").write_bytes(gzip.compress(segment.read_bytes()))
    segment.unlink()
    write_segment(tmp_path, HOUR, "b", [line(event("3", ago())).rstrip()], "zst")
    assert [reader.read("shop", NOW).events for reader in (live, Live(tmp_path))] == [3, 3]


def test_links_are_not_followed(tmp_path: Path) -> None:
    landing, since = tmp_path / "landing", NOW - timedelta(minutes=30)
    land(landing, event("1", HOUR, project_id="shop"))
    secret = tmp_path / "secret.ndjson"
    secret.write_bytes(line(event("2", HOUR, project_id="secret")))
    (published,) = landing.glob("dt=*/hr=*/a.ndjson")
    (published.parent / "b.ndjson").symlink_to(secret)
    (landing / FOLDER).mkdir()
    (landing / FOLDER / f"{HOUR:%Y-%m-%dT%H}_collector-1.open").symlink_to(secret)
    os.mkfifo(landing / FOLDER / f"{HOUR:%Y-%m-%dT%H}_collector-2.open")
    for _ in range(2):
        read = b"".join(Tail(landing).read(since, NOW))
        assert b'"shop"' in read
        assert b"secret" not in read
        recover(landing)  # it has to leave them in place


def test_segments_in_an_object_store_count_once(object_server: ObjectServer) -> None:
    landing = ObjectPath(f"s3://{BUCKET}/landing")
    live = Live(landing)
    for name in ("1", "2"):
        write_segment(landing, HOUR, name, [line(event(name, ago()))], "gz" if name == "2" else None)
        assert [reader.read("shop", NOW).events for reader in (live, live, Live(landing))] == [int(name)] * 3
    object_server.stop()
    with pytest.raises(OSError, match="landing"):
        live.read("shop", NOW)


def test_over_the_maximum_of_events_the_oldest_minutes_are_dropped(tmp_path: Path) -> None:
    land(tmp_path, *(event(f"{minute} {n}", ago(minutes=minute)) for minute in range(20) for n in range(10)))
    counts = Live(tmp_path, max_hits=55).read("shop", NOW)
    assert counts.events == 50
    assert sum(minute.events for minute in counts.minutes) == 50
    assert counts.complete_since == HOUR + timedelta(minutes=25)


def test_a_read_is_limited_in_time_and_the_next_one_continues(tmp_path: Path) -> None:
    for name in "abc":
        land(tmp_path, *(event(f"{name}{n}", ago()) for n in range(10)), name=name)
    tail = Tail(tmp_path, look_s=0)
    looks = []
    for _ in range(4):
        looks.append(b"".join(tail.read(HOUR, NOW)).count(b"\n"))
        assert (tail.complete_since > HOUR) == (len(looks) < 4)
    assert looks == [10, 10, 10, 0]


def test_a_read_that_ends_early_says_so_and_a_single_count_reads_everything(tmp_path: Path) -> None:
    for name in "abc":
        land(tmp_path, event(name, ago()), name=name)
    live = Live(tmp_path, look_s=0)
    looks = [live.read("shop", NOW) for _ in range(4)]
    assert [look.events for look in looks] == [1, 2, 3, 3]
    assert [look.complete_since > HOUR for look in looks] == [True, True, True, False]
    assert live_counts(tmp_path, "shop", NOW).events == 3


def test_lines_with_a_future_received_time_displace_no_others(tmp_path: Path) -> None:
    ahead = (NOW + timedelta(days=1 + n) for n in range(20))
    land(tmp_path, *(event(f"ahead {at}", at, received_at=at) for at in ahead), event("1", ago()))
    assert Live(tmp_path, max_hits=10).read("shop", NOW).events == 1


def test_names_of_old_events_make_room_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radar_assets.collector.live.MAX_TEXTS", 12)
    old = (event(f"old {n}", ago(days=1), event=f"old {n}", type="track") for n in range(10))
    land(tmp_path, *old, *(event(f"new {n}", ago(), event=f"new {n}", type="track") for n in range(10)))
    names = {name.event: name.events for name in live_counts(tmp_path, "shop", NOW).top_events}
    assert names == {"(other)": 6, **{f"new {n}": 1 for n in range(4)}}


def test_events_are_dropped_after_the_half_hour(tmp_path: Path) -> None:
    live = Live(tmp_path)
    land(tmp_path, event("1", HOUR), event("2", ago()))
    assert sum(minute.events for minute in live.read("shop", NOW).minutes) == 2
    later = live.read("shop", NOW + timedelta(minutes=1))
    assert (sum(minute.events for minute in later.minutes), later.events) == (1, 1)
    assert sum(minute.events for minute in live.read("shop", NOW + timedelta(hours=1)).minutes) == 0
