"""Cookieless visitors: a visit across midnight stays one, and what people did counts, however much it looks alike."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path

import pytest
import time_machine

from radar_assets.access.keys import FRESH_S, create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.access.time_zones import set_time_zone
from radar_assets.calendar import zone_info
from radar_assets.collector import recent as recent_module
from radar_assets.collector.door import Door, Request
from radar_assets.collector.doors.plausible import PlausibleDoor
from radar_assets.collector.doors.posthog import PostHogDoor
from radar_assets.collector.doors.snowplow import SnowplowDoor
from radar_assets.collector.doors.umami import UmamiDoor
from radar_assets.collector.recent import Recent
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets.windows import DAY, Window
from radar_assets_tests.collector.conftest import Collector, serving
from radar_assets_tests.collector.wire import ADDRESS, events, request
from radar_assets_tests.store.conftest import database_url
from radar_assets_tests.truth.traffic import received, requests_of

__all__ = ["database_url"]

MIDNIGHT = datetime(2026, 11, 29)
DOORS: list[tuple[Door, str, object]] = [
    (PlausibleDoor(), "/api/event", {"n": "pageview", "u": "https://a.example/", "d": "a.example"}),
    (UmamiDoor(), "/api/send", {"type": "event", "payload": {"website": "site", "url": "/"}}),
    (
        PostHogDoor(),
        "/capture/",
        {"api_key": "key", "event": "seen", "distinct_id": "$posthog_cookieless", "properties": {}},
    ),
    (
        SnowplowDoor(),
        "/com.snowplowanalytics.snowplow/tp2",
        {"data": [{"e": "pv", "aid": "site", "url": "https://a.example/"}]},
    ),
]


@pytest.fixture
def recent(tmp_path: Path) -> Iterator[Recent]:
    opened = Recent(tmp_path / "recent")
    yield opened
    opened.close()


def at(minutes: float, door: tuple[Door, str, object], recent: Recent | None, address: str = ADDRESS) -> str | None:
    """The visitor of an event that is received some minutes after midnight, negative before it."""
    when = MIDNIGHT + timedelta(minutes=minutes)
    salts = f"of {when.date()}".encode(), f"of {(when - DAY).date()}".encode()
    kind, path, body = door
    until = Window.of_day(when).end
    sent: Request = request(path, body, at=when, salts=salts, until=until, recent=recent, address=address)
    (event,) = events(kind, sent)
    return event.anonymous_id


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door[0].name)
def test_a_visit_goes_on_under_its_id_until_half_an_hour_passes(door: tuple[Door, str, object], recent: Recent) -> None:
    evening = at(-4, door, recent)
    assert [at(minutes, door, recent) for minutes in (0, 26, 56, 86)] == [evening] * 4
    morning = at(116.1, door, recent)
    assert morning != evening
    assert [at(minutes, door, recent) for minutes in (117, 1_439)] == [morning] * 2


def test_a_visit_that_ended_before_midnight_does_not_go_on(recent: Recent) -> None:
    for last in (-30.1, -600):
        door = DOORS[0]
        assert at(last, door, recent, address="203.0.113.1") != at(0, door, recent, address="203.0.113.1")


def test_half_an_hour_is_counted_from_the_last_event_before_midnight(recent: Recent) -> None:
    assert at(-30, DOORS[0], recent) == at(0, DOORS[0], recent)
    assert at(-28, DOORS[0], recent, address="203.0.113.1") != at(2.1, DOORS[0], recent, address="203.0.113.1")


def test_visitors_do_not_inherit_the_visits_of_others(recent: Recent) -> None:
    evening = [at(-4, DOORS[0], recent, address=f"203.0.113.{number}") for number in range(3)]
    assert at(1, DOORS[0], recent, address="203.0.113.2") == evening[2]
    assert at(1, DOORS[0], recent, address="203.0.113.9") not in evening
    assert at(1, DOORS[1], recent, address="203.0.113.2") not in evening


def test_an_id_does_not_outlive_the_day_after(recent: Recent) -> None:
    """A page that sends an event every 20 minutes for days gets a new id at every second midnight."""
    day = 1_440
    ids = [at(minutes, DOORS[0], recent) for minutes in range(-20, 2 * day + 20, 20)]
    assert len(set(ids[: day // 20 + 1])) == 1
    assert len(set(ids)) == 2


def test_workers_and_their_successors_know_visits_and_requests_of_each_other(tmp_path: Path) -> None:
    first, second = Recent(tmp_path / "recent"), Recent(tmp_path / "recent")
    evening = at(-4, DOORS[0], first)
    assert at(3, DOORS[0], second) == evening
    moment = timedelta(seconds=1)
    assert second.first_sent("ab" * 16, MIDNIGHT + moment, 2 * moment) == MIDNIGHT + moment
    assert first.first_sent("ab" * 16, MIDNIGHT + 2 * moment, 2 * moment) == MIDNIGHT + moment
    first.close()
    second.close()
    third = Recent(tmp_path / "recent")
    assert at(10, DOORS[0], third) == evening
    third.close()
    with time_machine.travel(datetime.now() + timedelta(hours=2)):
        forgotten = Recent(tmp_path / "recent")
    assert at(11, DOORS[0], forgotten) != evening
    forgotten.close()


def test_the_oldest_sightings_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_module, "_BUCKETS", 64)
    recent, nobody, seen = Recent(), "0" * 32, [md5(b"%d" % number).hexdigest() for number in range(5_000)]
    for number, visitor in enumerate(seen):
        recent.visitor(visitor, nobody, MIDNIGHT - timedelta(milliseconds=5_000 - number), MIDNIGHT)
    known = [recent.visitor(nobody, visitor, MIDNIGHT, MIDNIGHT + DAY) == visitor for visitor in seen[-300:]]
    assert sum(known) >= 297
    recent.close()


def visitor(collector: Collector, site: str) -> str:
    """The visitor of a page view that a collector receives now from this machine's browser."""
    collector.forget()
    reply = collector.request("POST", "/api/event", json.dumps({"n": "pageview", "u": "/", "d": site}).encode())
    assert reply.status == 202, reply
    (event,) = collector.events()
    return event["anonymous_id"]


def add_site(settings: Settings, zone: str) -> str:
    """Add a project in a time zone, with the key of a Plausible site, both named like the zone."""
    store, site = open_store(settings.database), zone.replace("/", ".").lower()
    ensure_projects(store, [Project(site, timezone=zone)])
    create_key(store, site, value=site)
    store.close()
    return site


def local(zone: str, *moment: int) -> datetime:
    """A time of the clock in a zone, in UTC."""
    return datetime(*moment, tzinfo=zone_info(zone)).astimezone(UTC)  # type: ignore[misc]


def test_a_visitor_is_one_person_within_a_local_day(settings: Settings, database_url: str) -> None:
    """At each moment another worker is started, which knows of the others' salts from the store."""
    settings = settings.model_copy(update={"database": database_url})
    zones = ("Pacific/Auckland", "Europe/Berlin", "Asia/Kathmandu", "Etc/GMT+12")
    times = ((2026, 11, 29, 0, 5), (2026, 11, 29, 12, 0), (2026, 11, 29, 23, 25), (2026, 11, 30, 0, 35))
    sites = {zone: add_site(settings, zone) for zone in zones}
    seen: dict[str, list[str]] = {zone: [] for zone in zones}
    with time_machine.travel(0, tick=False) as clock:
        for moment, zone in sorted((local(zone, *time), zone) for zone in zones for time in times):
            clock.move_to(moment, tick=False)
            with serving(settings) as collector:
                seen[zone].append(visitor(collector, sites[zone]))
    for zone, visitors in seen.items():
        assert [visitors.index(each) for each in visitors] == [0, 0, 0, 3], zone


def test_a_visit_across_local_midnight_stays_one(settings: Settings) -> None:
    zone = "Asia/Kathmandu"
    site = add_site(settings, zone)
    with time_machine.travel(local(zone, 2026, 11, 28, 23, 56), tick=False) as clock, serving(settings) as collector:
        evening = visitor(collector, site)
        clock.move_to(local(zone, 2026, 11, 29, 0, 5), tick=False)
        assert visitor(collector, site) == evening
        clock.move_to(local(zone, 2026, 11, 29, 4), tick=False)
        assert visitor(collector, site) != evening


def test_a_changed_time_zone_and_a_new_project_are_noticed(settings: Settings) -> None:
    site, zone = add_site(settings, "UTC"), "Pacific/Auckland"
    with time_machine.travel(local("UTC", 2026, 11, 28, 20), tick=False) as clock:
        with serving(settings) as collector:
            in_utc = visitor(collector, site)
            new = add_site(settings, zone)
            first = visitor(collector, new)
            assert visitor(collector, new) == first
            assert set_time_zone(collector.store, site, zone)
            time.sleep(2 * FRESH_S)
            assert (changed := visitor(collector, site)) != in_utc
        clock.move_to(local(zone, 2026, 11, 29, 23, 25), tick=False)
        with serving(settings) as collector:
            assert (visitor(collector, site), visitor(collector, new)) == (changed, first)


def test_the_case_of_midnight(settings: Settings) -> None:
    with received(settings, requests_of("midnight-utc"), "midnight-utc", keys=["midnight.example"]) as traffic:
        assert len(traffic.rows("select distinct visitor_id from events")) == 1
        assert traffic.rows("select channel, events, cast(started_at as date) from sessions") == [
            ("Paid Search", 4, datetime(2026, 11, 28).date())
        ]
        assert traffic.day("revenue", "2026-11-29") == 60


def test_the_case_of_same_words(settings: Settings) -> None:
    with received(settings, requests_of("same-words"), "same-words", keys=["words.example"]) as traffic:
        times = traffic.rows("select event_time from events where event = 'Add to cart' order by event_time")
        assert [f"{time:%M:%S.%f}"[:7] for (time,) in times] == ["00:11.0", "00:14.0", "00:19.9"]
        assert traffic.day("page_views") == 6
