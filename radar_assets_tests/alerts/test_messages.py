"""The wording of messages: headlines, facts and numbers."""

from datetime import timedelta
from typing import Any

import pytest

from radar_assets.alerts.wording import describe, number
from radar_assets.messaging.plain_text import plain_text
from radar_assets_tests.messaging.channels.servers import NOON, message, notice


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
        ({}, "Error rate of Shop at 12.4%, above 5%"),
        ({"operator": "gte"}, "Error rate of Shop at 12.4%, at or above 5%"),
        ({"project_name": ""}, "Error rate of shop at 12.4%, above 5%"),
        ({"value": None, "operator": "lt"}, "Error rate of Shop has no value"),
        ({"reason": "recovered"}, "Error rate of Shop no longer above 5%"),
        (
            {
                "operator": "change_pct",
                "threshold": -50,
                "value": 1240,
                "baseline": 4100,
                "unit": "currency",
                "metric_title": "Revenue",
            },
            "Revenue of Shop at 1,240.00, down 69.8% against the same hour a week before",
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
            "Error rate of Shop at 90, up 200% against the hour before",
        ),
        (
            {"operator": "change_pct", "threshold": -50, "reason": "recovered"},
            "Error rate of Shop no longer down 50% or more against the same hour a week before",
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


def test_a_message_has_all_facts() -> None:
    said = plain_text(message())
    for part in (
        "Firing: Error rate of Shop at 12.4%, above 5%",
        "Where: Shop",
        "Since: Tue 12 May 2026, 12:00 UTC (3 h)",
        "Value: 12.4%, hour from Tue 12 May 2026, 14:00 UTC",
        "Threshold: above 5%",
        "Check: https://radar.example/assets/hourly_metrics?view=checks&checkDetail=checkout_errors_high",
        "radar alerts ack 0b54e0c4-9b1f-4d0c-8a59-59dc1d7a2f10",
        "radar alerts snooze 0b54e0c4-9b1f-4d0c-8a59-59dc1d7a2f10",
    ):
        assert part in said


def test_a_recovery_says_how_long_the_alert_lasted() -> None:
    over = notice(reason="recovered", ended_at=NOON + timedelta(hours=3))
    said = plain_text(message(over))
    assert "When: Tue 12 May 2026, 12:00 UTC to 15:00 UTC (3 h)" in said
    assert "snooze" not in said
    assert message(over).subject == "[recovered] Error rate of Shop no longer above 5%"


def test_a_digest_counts_alerts_and_lists_the_worst_first() -> None:
    many = [notice(severity="low", project_name=f"Shop {index}") for index in range(30)]
    said = plain_text(message(*many, notice(severity="high", project_name="Blog")))
    assert said.startswith(
        "31 alerts: 1 high, 30 low in Blog, Shop 0, Shop 1 and 28 more\n\n- Firing, high: Error rate of Blog"
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
