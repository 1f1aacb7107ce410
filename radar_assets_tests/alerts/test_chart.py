"""The chart of an alert is drawn if there are values to draw."""

from datetime import datetime, timedelta
from typing import Any

from radar_assets.alerts.chart import draw, specification
from radar_assets_tests.messaging.channels.servers import NOON, notice

HISTORY = [(NOON + timedelta(hours=hour), 0.02 if hour < 0 else 0.12) for hour in range(-48, 3)]


def test_a_chart_is_drawn_if_there_are_values() -> None:
    assert draw(notice(), ()) is None
    assert draw(notice(), HISTORY[:1]) is None
    assert draw(notice(metric=None), HISTORY) is None
    for changed in (
        {},
        {"operator": "change_pct"},
        {"unit": "s"},
        {"window": "1d"},
        {"metric_title": "</title><script>"},
    ):
        assert (draw(notice(**changed), HISTORY) or b"").startswith(b"\x89PNG")


def test_a_change_is_drawn_with_last_week_and_the_threshold_below_it() -> None:
    change = notice(operator="change_pct", threshold=-60)
    week = [(at - timedelta(days=7), 0.5) for at, _ in HISTORY]
    drawn = str(specification(change, [*week, *HISTORY]).to_dict())
    assert "'domain': ['this week', 'last week', 'threshold: 60% below last week']" in drawn
    assert (
        f"'at': '{(NOON + timedelta(minutes=30)).isoformat()}Z', 'value': 0.2, 'name': 'threshold: 60% below last week'"
        in drawn
    )
    assert f"{week[-1][0].isoformat()}Z" not in drawn, "last week is drawn over this one"
    hour_before = str(specification(change.model_copy(update={"against": "previous"}), HISTORY).to_dict())
    assert "'domain': ['Error rate', 'threshold: 60% below the hour before']" in hour_before
    assert "last week" not in str(specification(change, HISTORY).to_dict())


def test_only_the_side_of_the_threshold_that_breaks_the_rule_is_shaded() -> None:
    def shaded(**fields: Any) -> list[tuple[str, float, float]]:
        shade, *_ = specification(notice(**fields), HISTORY).to_dict()["layer"]
        return [(row["from"], row["value"], row["end"]) for row in shade["data"]["values"]]

    starts = [f"{(NOON + timedelta(hours=hour)).isoformat()}Z" for hour in range(3)]
    assert [(at, low) for at, low, high in shaded() if high > 0.12] == [(at, 0.05) for at in starts]
    assert shaded(operator="lt", threshold=0.2) == [(at, 0.2, 0) for at in starts]
    # A window without a value did not break the rule.
    assert len(shaded(started_at=NOON - timedelta(hours=1), window_end=NOON + timedelta(hours=9))) == 4


def test_the_axis_of_small_counts_has_whole_numbers_only() -> None:
    def ticks(history: list[tuple[datetime, float]], **fields: Any) -> list[int] | None:
        return specification(notice(**fields), history).to_dict()["layer"][2]["encoding"]["y"]["axis"].get("values")

    counts = [(at, float(value > 0.1)) for at, value in HISTORY]
    assert ticks(counts, unit="events", threshold=1) == [0, 1]
    assert ticks(HISTORY) is None
    assert ticks([(at, value * 100) for at, value in counts], unit="events", threshold=1) is None
