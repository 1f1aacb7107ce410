"""The chart of an alert is drawn if there are values to draw."""

from datetime import timedelta

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
    assert "'name': 'last week'" in drawn and "'name': '60% or more below last week'" in drawn
    assert f"'at': '{NOON.isoformat()}Z', 'value': 0.2, 'name': '60% or more below last week'" in drawn
    assert f"{week[-1][0].isoformat()}Z" not in drawn, "last week is drawn over this one"
    hour_before = str(specification(change.model_copy(update={"against": "previous"}), HISTORY).to_dict())
    assert "'name': '60% or more below the hour before'" in hour_before and "last week" not in hour_before
    assert "last week" not in str(specification(change, HISTORY).to_dict())
