"""Bad optional fields, placeholder ids and implausible times cost nothing but themselves."""

from datetime import datetime

from radar_assets.settings import Settings
from radar_assets_tests.truth.traffic import received, requests_of

DAY = "2026-11-29"
EVENTS = "select event_id, coalesce(anonymous_id, user_id), warnings from events order by event_id"


def test_empty_user_ids_are_absent(settings: Settings) -> None:
    with received(settings, requests_of("empty-user-id"), "empty-user-id") as traffic:
        assert traffic.rows(EVENTS) == [
            ("eu-1", "b7f0-anon-1", "user_id: empty"),
            ("eu-2", "b7f0-anon-1", "user_id: empty"),
            ("eu-3", "v-3", "user_id: empty"),
        ]
        assert traffic.rows("select count(user_id) from events") == [(0,)]
        assert traffic.rows("select count(*) from rejected_events") == [(0,)]


def test_empty_arrays_of_php_are_empty_objects(settings: Settings) -> None:
    with received(settings, requests_of("php-empty-array"), "php-empty-array") as traffic:
        found = traffic.rows("select event_id, coalesce(properties, '{}') = '{}' from events order by event_id")
        assert [event_id for event_id, _ in found] == ["php-1", "php-2", "php-3", "php-4", "php-5"]
        assert dict(found)["php-1"]
        assert traffic.rows("select warnings from events where event_id = 'php-2'") == [("context: empty",)]


def test_events_with_times_that_are_hard_to_read_are_kept(settings: Settings) -> None:
    with received(settings, requests_of("malformed-times"), "malformed-times") as traffic:
        times = dict(traffic.rows("select event_id, event_time from events"))
        warnings = dict(traffic.rows("select event_id, warnings from events where warnings is not null"))
        assert traffic.rows("select count(*) from rejected_events") == [(0,)]
    happened, received_at = datetime(2026, 11, 29, 11, 59), datetime(2026, 11, 29, 12)
    assert times == {
        **{f"mt-{number}": happened for number in (1, 2, 3, 4, 9)},
        # These milliseconds are on the day after, at 11:59.
        "mt-5": datetime(2026, 11, 30, 11, 59),
        "mt-6": received_at,
        "mt-7": received_at,
        "mt-8": datetime(2026, 11, 29),
    }
    assert warnings == {"mt-6": "timestamp: empty", "mt-7": "timestamp: unreadable", "mt-9": "sent_at: empty"}


def test_placeholder_ids_make_no_users(settings: Settings) -> None:
    with received(settings, requests_of("sentinel-ids"), "sentinel-ids") as traffic:
        assert traffic.day("visitors") == 6
        assert traffic.rows("select count(*), count(user_id) from events") == [(6, 0)]
        assert traffic.rows("select distinct warnings from events") == [("user_id: placeholder",)]


def test_times_are_corrected_only_where_that_is_plausible(settings: Settings) -> None:
    with received(settings, requests_of("sent-before-it-happened"), "sent-before-it-happened") as traffic:
        assert traffic.rows("select event_id, event_time, warnings from events order by event_id") == [
            ("sb-1", datetime(2026, 11, 29, 9, 59), "sent_at: before timestamp"),
            ("sb-2", datetime(2026, 11, 29, 9, 59, 30), "sent_at: before timestamp"),
            ("sb-3", datetime(2026, 11, 29, 9, 59), "sent_at: before timestamp"),
        ]


def test_the_order_of_a_request_is_kept(settings: Settings) -> None:
    with received(settings, requests_of("same-second"), "same-second") as traffic:
        assert traffic.rows("select distinct sequence from events order by sequence") == [(0,), (1,), (2,)]
