"""The planted incidents: each is visible in counts, at its time and nowhere else."""

from datetime import date, timedelta
from itertools import pairwise

import duckdb

from radar_assets.simulator.incidents import Incident, incidents
from radar_assets_tests.simulator.conftest import DAYS, START


def planted(name: str) -> Incident:
    return next(incident for incident in incidents(START, DAYS) if incident.name == name)


def count(month: duckdb.DuckDBPyConnection, incident: Incident, shift: timedelta, condition: str = "true") -> int:
    """Events of the incident's project that happened in its hours, shifted."""
    row = month.execute(
        f"""
        select count(*) from events
        where project_id = $project and happened >= $start and happened < $end and ({condition})
        """,
        {"project": incident.project, "start": incident.start + shift, "end": incident.end + shift},
    ).fetchone()
    assert row is not None
    return row[0]


WEEK = timedelta(days=7)
NOW = timedelta()
ERROR = "event = 'error'"
IPHONE = "event = 'purchase' and user_agent like '%Version/%Mobile%Safari%'"
OTHERS = "event = 'purchase' and user_agent not like '%Version/%Mobile%Safari%'"
REFERRED = """
    event = 'page_view' and session_id in (
        select session_id from events where (properties ->> 'referrer') like '%daily-dispatch.example%'
    )
"""


def test_three_consecutive_incidents_are_planted_within_the_days():
    for days in (14, 28, 30, 365):
        cases = incidents(START, days)
        assert [case.name for case in cases] == ["outage", "checkout_failure", "referrer_spike"]
        assert all(before.end < after.start for before, after in pairwise(cases))
        assert cases[0].start.date() > START + timedelta(days=7)
        assert cases[-1].end.date() < START + timedelta(days=days)


def test_fewer_than_two_weeks_have_no_incidents():
    assert incidents(date(2026, 1, 5), 13) == []


def test_incidents_belong_to_simulated_projects():
    assert {case.project for case in incidents(START, DAYS, projects=1)} == {"lumen-shop"}
    assert {case.project for case in incidents(START, DAYS, projects=50)} == {"lumen-shop", "harbor-crm", "pico-games"}


def test_an_outage_leaves_few_events_most_of_them_errors(month: duckdb.DuckDBPyConnection):
    outage = planted("outage")
    usual = count(month, outage, -WEEK)
    during = count(month, outage, NOW)
    assert 0 < during < 0.3 * usual
    assert count(month, outage, NOW, ERROR) > 0.4 * during
    assert count(month, outage, NOW, ERROR) > 3 * count(month, outage, -WEEK, ERROR)
    assert count(month, outage, outage.end - outage.start) > 0.5 * count(
        month, outage, outage.end - outage.start - WEEK
    )


def test_there_are_no_purchases_in_a_browser_while_its_checkout_fails(month: duckdb.DuckDBPyConnection):
    failure = planted("checkout_failure")
    assert count(month, failure, -WEEK, IPHONE) + count(month, failure, -2 * WEEK, IPHONE) >= 10
    assert count(month, failure, NOW, IPHONE) <= 1
    assert count(month, failure, NOW, OTHERS) > 0.5 * count(month, failure, -WEEK, OTHERS)
    assert count(month, failure, NOW, f"{ERROR} and (properties ->> 'message') like 'PaymentError%'") >= 5


def test_a_spike_comes_from_one_referrer(month: duckdb.DuckDBPyConnection):
    spike = planted("referrer_spike")
    usual, during = (count(month, spike, shift, "event = 'page_view'") for shift in (-WEEK, NOW))
    assert 5 * usual < during < 12 * usual
    assert count(month, spike, NOW, REFERRED) > 0.6 * during
    assert count(month, spike, -WEEK, REFERRED) < 0.15 * usual
