"""Cookieless visitors: a visit across midnight stays one, and what people did counts, however much it looks alike."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path

import pytest
import time_machine

from radar_assets.collector import recent as recent_module
from radar_assets.collector.door import Door, Request
from radar_assets.collector.doors.plausible import PlausibleDoor
from radar_assets.collector.doors.posthog import PostHogDoor
from radar_assets.collector.doors.snowplow import SnowplowDoor
from radar_assets.collector.doors.umami import UmamiDoor
from radar_assets.collector.recent import Recent
from radar_assets.settings import Settings
from radar_assets_tests.collector.wire import ADDRESS, events, request
from radar_assets_tests.truth.traffic import received, requests_of

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
    salts = tuple(f"of {(when - timedelta(days=ago)).date()}".encode() for ago in (0, 1))
    kind, path, body = door
    sent: Request = request(path, body, at=when, salts=(salts[0], salts[1]), recent=recent, address=address)
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
        recent.visitor(visitor, nobody, MIDNIGHT - timedelta(milliseconds=5_000 - number))
    known = [recent.visitor(nobody, visitor, MIDNIGHT) == visitor for visitor in seen[-300:]]
    assert sum(known) >= 297
    recent.close()


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
