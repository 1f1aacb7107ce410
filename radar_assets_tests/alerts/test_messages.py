"""The wording of messages: headlines, facts and numbers."""

from datetime import timedelta
from typing import Any

import pytest

from radar_assets.alerts.rules import Rule
from radar_assets.alerts.wording import amount, condition, describe, number
from radar_assets.messaging.plain_text import plain_text
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets_tests.messaging.channels.servers import NOON, message, notice

VISITORS = {
    "metric": "visitors",
    "metric_title": "Visitors",
    "unit": "visitors",
    "project_name": "Pico Games",
    "operator": "change_pct",
    "threshold": -60,
    "value": 0,
    "baseline": 47,
}

SIGNUPS = {
    "metric": "signups",
    "metric_title": "Sign-ups",
    "unit": "events",
    "window": "5m",
    "operator": "gte",
    "threshold": 1,
}


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.1243, "ratio", "12.4%"),
        (0.05, "ratio", "5%"),
        (0.00012, "ratio", "0.012%"),
        (1, "ratio", "100%"),
        (1_234_567.8, "visitors", "1,234,568"),
        (12.3456, "page views", "12.3"),
        (0, None, "0"),
        (-3, None, "−3"),
        (0.1 + 0.2, None, "0.3"),
        (1e300, None, "1e+300"),
        (float("nan"), None, "no value"),
        (None, "s", "no value"),
        (0.4, "s", "0.4 s"),
        (59.94, "s", "59.9 s"),
        (3725, "s", "1 h 2 min"),
        (90_000, "s", "1 d 1 h"),
        (1240, "currency", "1,240.00"),
        (1_240_000.4, "currency", "1,240,000"),
    ],
)
def test_numbers_are_formatted_by_unit(value: float | None, unit: str | None, shown: str) -> None:
    assert number(value, unit) == shown


@pytest.mark.parametrize(
    ("fields", "headline"),
    [
        ({}, "Shop: error rate 12.4%, above 5%"),
        ({"operator": "gte"}, "Shop: error rate 12.4%, at or above 5%"),
        ({**SIGNUPS, "value": 1}, "Shop: 1 sign-up in 5 minutes (threshold 1)"),
        ({**SIGNUPS, "operator": "lte", "value": 0, "window": "1h"}, "Shop: 0 sign-ups in an hour (threshold 1)"),
        ({**SIGNUPS, "operator": "gt", "value": 2}, "Shop: 2 sign-ups, above 1"),
        (
            {**SIGNUPS, "reason": "recovered", "ended_value": 0, "ended_at": NOON + timedelta(minutes=10)},
            "Shop recovered after 10 min: 0 sign-ups",
        ),
        (
            {**SIGNUPS, "reason": "recovered", "ended_value": 0, "project_id": "", "project_name": ""},
            "Recovered after 3 h: 0 sign-ups",
        ),
        ({"project_name": ""}, "shop: error rate 12.4%, above 5%"),
        ({"value": None, "operator": "lt"}, "Shop: no value for error rate"),
        ({"reason": "recovered"}, "Shop recovered after 3 h: error rate no longer above 5%"),
        (
            {
                "operator": "change_pct",
                "threshold": -50,
                "value": 1240,
                "baseline": 4100,
                "unit": "currency",
                "metric_title": "Revenue",
            },
            "Shop: revenue 1,240.00, down 69.8% on last week (4,100.00)",
        ),
        (
            {
                "operator": "change_pct",
                "threshold": 200,
                "value": 90,
                "baseline": 30,
                "unit": None,
                "against": "previous",
            },
            "Shop: error rate 90, up 200% on the hour before (30)",
        ),
        (
            {"operator": "change_pct", "threshold": -50, "reason": "recovered"},
            "Shop recovered after 3 h: error rate no longer 50% or more below last week",
        ),
        (VISITORS, "Pico Games: 0 visitors, down 100% on last week (47)"),
        (
            {**VISITORS, "threshold": 200, "value": 5000, "baseline": 0},
            "Pico Games: 5,000 visitors, up from 0 last week",
        ),
        (
            {**VISITORS, "threshold": 200, "value": 1, "baseline": 0, "against": "previous"},
            "Pico Games: 1 visitor, up from 0 the hour before",
        ),
        (
            {"reason": "no_data", "no_data_since": NOON + timedelta(hours=3)},
            "Shop: error rate 12.4%, above 5%; no data since 15:00",
        ),
        (
            {"reason": "ended_without_data", "no_data_since": NOON + timedelta(hours=13), "ended_at": NOON},
            "Shop: error rate 12.4%, above 5%; ended, no data since Wed 13 May, 01:00",
        ),
        (
            {**VISITORS, "reason": "no_data", "window": "1d", "no_data_since": NOON + timedelta(hours=12)},
            "Pico Games: 0 visitors, down 100% on last week (47); no data since Wed 13 May",
        ),
        (
            {"metric": None, "project_id": "", "text": "A run failed", "reason": "ended_without_data"},
            "A run failed (ended, no data since 15:00)",
        ),
        (
            {**VISITORS, "against": "previous", "window": "1d"},
            "Pico Games: 0 visitors, down 100% on the day before (47)",
        ),
        (
            {**VISITORS, "reason": "recovered", "ended_value": 44, "ended_baseline": 50},
            "Pico Games recovered after 3 h: 44 visitors (50 last week)",
        ),
        (
            {**VISITORS, "reason": "fired_and_recovered", "ended_at": NOON + timedelta(hours=10)},
            "Pico Games: visitors were 60% or more below last week on Tue 12 May from 12:00 to 22:00",
        ),
        (
            {"reason": "fired_and_recovered", "ended_at": NOON + timedelta(hours=13)},
            "Shop: error rate was above 5% from Tue 12 May, 12:00 to Wed 13 May, 01:00",
        ),
        (
            {
                "reason": "fired_and_recovered",
                "window": "1d",
                "started_at": NOON - timedelta(hours=12),
                "ended_at": NOON + timedelta(hours=36),
            },
            "Shop: error rate was above 5% from Tue 12 May to Wed 13 May",
        ),
        (
            {"project_id": "", "project_name": "", "operator": "lt"},
            "Error rate 12.4%, below 5%",
        ),
        ({"metric": None, "project_id": "", "text": "A run failed\n\nafter 3 tries"}, "A run failed after 3 tries"),
        ({"metric": None, "project_id": "", "text": "A run failed", "reason": "recovered"}, "A run failed (over)"),
    ],
)
def test_a_headline_says_what_where_and_compared_with_what(fields: dict[str, Any], headline: str) -> None:
    assert describe(notice(**fields)).headline == headline


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "1.1% to 2.3% at the same hour and weekday of the four weeks before; now 5.4 times the highest"),
        (
            {"usual": (0.2, 0.4)},
            "20% to 40% at the same hour and weekday of the four weeks before; now 62.1% of the lowest",
        ),
        ({"usual": (0.1, 0.2)}, "10% to 20% at the same hour and weekday of the four weeks before; this is within it"),
        ({"usual": (0, 0)}, "0% at the same hour and weekday of the four weeks before; now above all of them"),
        ({"usual": None}, "not known; there are no values of the four weeks before"),
        (
            {"usual": (0.01, 0.02), "window": "1d"},
            "1% to 2% at the same weekday of the four weeks before; now 6.2 times the highest",
        ),
    ],
)
def test_a_message_says_how_unusual_the_value_is(fields: dict[str, Any], said: str) -> None:
    assert dict(describe(notice(**fields)).facts)["Usual"] == said


@pytest.mark.parametrize(
    ("value", "title", "unit", "shown"),
    [
        (1, "Visitors", "visitors", "1 visitor"),
        (0, "New visitors", "visitors", "0 new visitors"),
        (1.04, "Page views", "page views", "1.04 page views"),
        (1, "Sign-ups", "events", "1 sign-up"),
        (1, "Searches without results", "searches without results", "1 search without results"),
        (1, "API queries", "queries", "1 API query"),
        (1200, "API errors", "events", "1,200 API errors"),
        (1, "Basket size", "items", "basket size 1 item"),
        (3.25, "Pages per session", "page views", "pages per session 3.25"),
        (90, "Average session duration", "s", "average session duration 1 min 30 s"),
        (0.5, "Bounce rate", "ratio", "bounce rate 50%"),
        (7, "Score", None, "score 7"),
    ],
)
def test_an_amount_names_what_it_counts(value: float, title: str, unit: str | None, shown: str) -> None:
    assert amount(value, title, unit) == shown


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"metric": "visitors", "operator": "change_pct", "threshold": -60},
            "visitors an hour are 60% or more below the same hour last week",
        ),
        (
            {"metric": "visitors", "operator": "change_pct", "threshold": 20, "against": "previous", "window": "1d"},
            "visitors a day are 20% or more above the day before",
        ),
        ({"metric": "error_rate", "threshold": 0.05, "window": "1d"}, "error rate in a day is above 5%"),
        (
            {"metric": "errors", "operator": "gte", "threshold": 5, "window": "5m", "for": 3},
            "errors in 5 minutes are at or above 5, 3 times in a row",
        ),
        (
            {"metric": "signups", "operator": "eq", "threshold": 0, "for": 2},
            "sign-ups an hour are exactly 0, 2 hours in a row",
        ),
        ({"watch": "daemon", "kind": "error"}, "the daemon sends no heartbeat"),
    ],
)
def test_a_rule_says_when_it_fires(fields: dict[str, Any], said: str) -> None:
    assert condition(Rule(name="a_rule", **fields), {metric.name: metric for metric in STANDARD_METRICS}) == said


def test_a_message_says_each_fact_once() -> None:
    said = plain_text(message(notice(**VISITORS)))
    for once in ("Pico Games", "100%", "(47)", "60% or more below last week", "critical", "checkout_errors_high,"):
        assert said.count(once) == 1, once
    over = notice(**{**VISITORS, "reason": "fired_and_recovered", "ended_at": NOON + timedelta(hours=3)})
    facts = dict(describe(over).facts)
    assert facts["Lasted"] == "3 h"
    assert facts["Last breach"] == "0 visitors (47 last week), Tue 12 May 2026, 14:00 to 15:00 UTC"
    assert "Since" not in facts


def test_a_message_has_all_facts() -> None:
    said = plain_text(message())
    for part in (
        "Firing, critical: Shop: error rate 12.4%, above 5%",
        "Since: Tue 12 May 2026, 12:00 UTC (3 h)",
        "Latest: Tue 12 May 2026, 14:00 to 15:00 UTC",
        "Rule: checkout_errors_high",
        "Check: https://radar.example/assets/hourly_metrics?view=checks&checkDetail=checkout_errors_high",
        "radar alerts ack 0b54e0c4  ",
        "radar alerts snooze 0b54e0c4  ",
    ):
        assert part in said


def test_a_recovery_names_what_the_metric_counts() -> None:
    facts = dict(describe(notice(**SIGNUPS, value=1, reason="recovered", ended_value=0)).facts)
    assert facts["Last breach"].startswith("1 sign-up, ")


def test_an_acknowledgement_is_not_said_to_stop_reminders_that_are_not_sent() -> None:
    assert "stops the reminders" in plain_text(message())
    said = plain_text(message(notice(is_reminded=False)))
    assert "acknowledges the alert" in said and "reminders" not in said


def test_a_recovery_says_how_long_the_alert_lasted() -> None:
    over = notice(reason="recovered", ended_at=NOON + timedelta(hours=3), ended_value=0.02)
    said = plain_text(message(over))
    assert "When: Tue 12 May 2026, 12:00 UTC to 15:00 UTC (3 h)" in said
    assert "snooze" not in said
    assert message(over).subject == "[recovered] Shop recovered after 3 h: error rate 2%"
    assert "Errors at checkout" not in said, "the description is about alerts that last"
    assert "Rule: checkout_errors_high, above 5%" in said


def test_a_message_about_missing_data_says_since_when_and_is_not_good_news() -> None:
    since = NOON + timedelta(hours=3)
    silent = message(notice(reason="no_data", no_data_since=since))
    assert silent.subject == "[no data] Shop: error rate 12.4%, above 5%; no data since 15:00"
    assert "No data since: Tue 12 May 2026, 15:00 UTC" in plain_text(silent)
    assert "radar alerts snooze" in plain_text(silent)
    over = notice(reason="ended_without_data", no_data_since=since, ended_at=since)
    assert (silent.is_good, message(over).is_good) == (False, False)
    assert "snooze" not in plain_text(message(over))
    assert message(over, over, notice()).headline == "3 alerts: 1 critical, 2 ended without data in Shop"


def test_a_digest_counts_alerts_and_lists_the_worst_first() -> None:
    many = [notice(severity="low", project_name=f"Shop {index}") for index in range(30)]
    said = plain_text(message(*many, notice(severity="high", project_name="Blog")))
    assert said.startswith(
        "31 alerts: 1 high, 30 low in Blog, Shop 0, Shop 1 and 28 more\n\n- Firing, high: Blog: error rate"
    )
    assert "- and 11 more" in said


def test_a_subject_is_one_line_of_bounded_length() -> None:
    for rendered in (
        message(notice(project_name="x\r\nBcc: a@b.example " * 99)),
        message(*[notice(project_name="y\n" * 99)] * 3),
    ):
        assert len(rendered.subject) <= 150
        assert "\n" not in rendered.subject
        assert "\r" not in rendered.subject
