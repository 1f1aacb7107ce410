"""The page of a rule's check: the sentence of the message, and a chart in characters."""

from datetime import datetime, timedelta

from radar_assets.alerts.check_page import describe_result
from radar_assets.alerts.checks import verdict_of
from radar_assets.alerts.evaluation import evaluate
from radar_assets.alerts.measuring import history, recent
from radar_assets.alerts.text_chart import draw
from radar_assets.metrics.registry import registry
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window
from radar_assets_tests.alerts.records import context, rule
from radar_assets_tests.alerts.tables import NOON, fill, series
from radar_assets_tests.messaging.channels.servers import notice

HOUR = timedelta(hours=1)
DAYS = datetime(2026, 3, 2)


def test_a_chart_has_axes_a_threshold_and_marks() -> None:
    values = [(DAYS + place * HOUR, float(place % 24)) for place in range(48)]
    drawn = draw(values, HOUR, lambda value: f"{value:g}", threshold=10, marked=[DAYS + 20 * HOUR])
    lines = drawn.splitlines()
    assert lines[0].startswith("23 │") and lines[0].endswith("█")
    day = "╌" * 11 + "▃▅" + "█" * 11
    assert lines[3] == f"10 ┼{day}{day} threshold"
    assert lines[-2] == "    Mon 2                   Tue 3"
    assert lines[-1] == " " * 24 + "▲"
    assert max(map(len, lines)) <= 48 + 4 + len(" threshold")


def test_the_threshold_of_a_change_follows_the_values_compared_with() -> None:
    values = [(DAYS + place * HOUR, 2.0) for place in range(8)]
    limits = {at: 8.0 if place < 4 else 4.0 for place, (at, _) in enumerate(values)}
    lines = draw(values, HOUR, lambda value: f"{value:g}", threshold=limits).splitlines()
    assert lines[0] == "8 │╌╌╌╌"
    assert lines[3] == "  │    ╌╌╌╌ threshold"
    assert all("threshold" not in line for line in draw(values, HOUR, str, threshold={}).splitlines())


def test_the_page_of_a_rule_that_is_kept_has_no_chart_of_a_single_value(settings: Settings) -> None:
    lakehouse, above = open_lakehouse(settings), rule(metric="page_views", operator="gte", threshold=1)
    by_name = {metric.name: metric for metric in registry()}
    trend = [(NOON + place * HOUR, float(place == 5)) for place in range(12)]
    page = describe_result(lakehouse, above, [], trend, by_name, context(NOON))
    assert page == "Fires when page views an hour are at or above 1."
    busy = [(at, value + 1) for at, value in trend]
    assert "closest to breaking the rule" in describe_result(lakehouse, above, [], busy, by_name, context(NOON))


def test_a_long_chart_keeps_the_worst_value_of_each_column() -> None:
    values = [(DAYS + place * HOUR, 0.0 if place == 101 else 8.0) for place in range(192)]
    lowest = draw(values, HOUR, str, is_low_worst=True).splitlines()
    highest = draw(values, HOUR, str).splitlines()
    assert len(lowest[0]) == len(highest[0]) == len("8.0 │") + 96
    assert (lowest[0][5 + 50], highest[0][5 + 50]) == (" ", "█")


def test_the_history_of_a_change_has_what_it_is_compared_with(settings: Settings) -> None:
    lakehouse = open_lakehouse(settings)
    fill(lakehouse, "1h", series({"shop": {NOON - place * HOUR: float(place) for place in range(400)}}))
    facts = {"metric": "page_views", "operator": "change_pct", "window_start": NOON, "window_end": NOON + HOUR}
    values = history(lakehouse, notice(**facts), registry())
    assert (NOON - 14 * 24 * HOUR, 336.0) in values
    assert [at for at, _ in recent(notice(**facts), values)] == [NOON - place * HOUR for place in reversed(range(192))]


def test_the_history_of_an_alert_leads_up_to_it_and_ends_with_its_recovery(settings: Settings) -> None:
    lakehouse = open_lakehouse(settings)
    fill(lakehouse, "1h", series({"shop": {NOON: 5.0, NOON + HOUR: 0.0, NOON + 2 * HOUR: 1.0}}))
    facts = {"metric": "page_views", "started_at": NOON, "window_start": NOON, "window_end": NOON + HOUR}
    lead = [(NOON - place * HOUR, 0.0) for place in reversed(range(1, 13))]
    assert history(lakehouse, notice(**facts), registry()) == [*lead, (NOON, 5.0)]
    recovered = notice(**facts, reason="recovered", ended_at=NOON + HOUR, ended_value=0)
    assert history(lakehouse, recovered, registry()) == [*lead, (NOON, 5.0), (NOON + HOUR, 0.0)]


def test_the_page_opens_with_what_happened_and_the_week(settings: Settings) -> None:
    lakehouse = open_lakehouse(settings)
    hours = [*range(1, 192), *(168 * place for place in range(1, 5))]
    week = {NOON - place * HOUR: 40 + place % 5 for place in hours}
    fill(lakehouse, "1h", series({"shop": {**week, NOON: 90}, "blog": week}))
    span = Window(NOON, NOON + HOUR)
    above = rule(metric="page_views", threshold=60)
    (judgement,) = evaluate(lakehouse, [above], registry(), span, span.end + timedelta(minutes=5))
    verdict = verdict_of(judgement, span, is_latest=True)
    by_name = {metric.name: metric for metric in registry()}
    text = describe_result(lakehouse, above, verdict.decisive, verdict.trend, by_name, context(NOON))
    sentence, fence, chart = text.partition("\n\n```\n")
    assert sentence == "The Shop\\: 90 page views, above 60"
    assert "60 ┼╌" in chart and "90 │" in chart
    assert "usual: 41 to 44 at the same hour and weekday of the four weeks before; now 2.0 times the highest" in chart
    assert fence and chart.endswith("\n```")
