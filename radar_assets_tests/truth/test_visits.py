"""Visits of recorded traffic: what starts one, what belongs to one, and what comes first."""

from radar_assets.settings import Settings
from radar_assets_tests.truth.traffic import received, requests_of


def test_automatic_events_end_no_bounce(settings: Settings) -> None:
    case = requests_of("bounce-automatic-events")
    with received(settings, case, "bounce", keys=["bounce.example"]) as traffic:
        assert traffic.day("bounce_rate") == 0.75
        assert traffic.day("sessions") == traffic.day("visitors") == traffic.day("page_views") == 4
        # An engagement lengthens the visit and is part of it.
        assert traffic.rows("select events, interactions, duration_s from sessions order by started_at") == [
            (2, 1, 9.0),
            (2, 1, 9.0),
            (3, 1, 9.0),
            (3, 2, 9.0),
        ]


def test_events_of_a_server_join_the_open_visit_or_none(settings: Settings) -> None:
    case = requests_of("server-event-in-a-visit")
    with received(settings, case, "server-event-in-a-visit") as traffic:
        assert traffic.rows("select channel, revenue, entry_page, exit_page, page_views, events from sessions") == [
            ("Paid Search", 40, "/", "/thanks", 3, 4)
        ]
        assert traffic.day("sessions") == traffic.day("visitors") == traffic.day("new_visitors") == 1
        assert traffic.day("events") == 9
        assert traffic.day("users") == 5


def test_a_session_id_holds_a_visit_together_when_somebody_signs_in(settings: Settings) -> None:
    with received(settings, requests_of("login-in-a-visit"), "login-in-a-visit") as traffic:
        assert traffic.rows("select channel, entry_page, exit_page, page_views, user_id from sessions") == [
            ("Organic Search", "/", "/settings", 4, "u-1")
        ]
        assert traffic.day("visitors") == traffic.day("new_visitors") == 1


def test_the_order_in_a_request_decides_between_events_of_one_second(settings: Settings) -> None:
    with received(settings, requests_of("same-second"), "same-second") as traffic:
        visits = traffic.rows("select entry_page, exit_page, channel, count(*) from sessions group by all")
        assert visits == [("/", "/de/start", "Organic Search", 16)]
