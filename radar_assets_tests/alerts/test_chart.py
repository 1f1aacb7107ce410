"""The chart of an alert is drawn if there are values to draw."""

from datetime import timedelta

from radar_assets.alerts.chart import draw
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
