"""The statements that compute metrics: values of custom metrics at both grains, alone and together."""

import random
import time
from datetime import timedelta
from decimal import Decimal

import pytest

from radar_assets.metrics.registry import CustomMetric, registry
from radar_assets.metrics.sources import Source
from radar_assets.windows import DAY, Window
from radar_assets_tests.metrics.relations import MONDAY, NOON, event, of_day, of_hour, session, values

EVENTS = [
    event("a", event="search", properties='{"price": "12.50", "quantity": 2, "items": [{"sku": "x"}]}'),
    event("a", event="search", properties='{"price": "free", "quantity": "9223372036854775807"}', user_id="u"),
    event("b", event="Buy Now", revenue=Decimal("10.0000"), path="/shop/1", at=NOON + timedelta(minutes=30)),
    event("b", event="Buy Now", revenue=Decimal("20.5000"), path="/shop/2", properties='{"price": 7.25}', country="DE"),
    event("c", event="search", properties='{"price": "1e999", "quantity": -9223372036854775808}'),
    event("d", event="crawl", is_bot=True),
    event("e", event="crawl", is_internal=True),
]

SESSIONS = [
    session("a", duration_s=10.5, page_views=3, events=5, is_bounce=False, country="DE"),
    session("b", duration_s=20, page_views=1),
    session("bot", is_bot=True, duration_s=1000),
]


def custom(expression: str, source: Source = "events") -> CustomMetric:
    return CustomMetric(name="mine", source=source, expression=expression)


@pytest.mark.parametrize(
    "expression, value",
    [
        ("count(*)", 5),
        ("count(*) filter (where is_bot or not is_bot)", 6),
        ("count(*) filter (where is_internal or is_bot)", 2),
        ("count(*) filter (where event = 'search')", 3),
        ("COUNT(*) FILTER (WHERE Event_Name = 'buy_now')", 2),
        ("count(distinct visitor)", 3),
        ("count(distinct user_id || path)", 0),
        ("count(country)", 1),
        ("sum(revenue)", 30.5),
        ("sum(revenue) / count(distinct visitor) filter (where revenue > 0)", 30.5),
        ("avg(revenue)", 15.25),
        ("max(revenue) - min(revenue)", 10.5),
        ("median(revenue)", 15.25),
        ("quantile_cont(revenue, 0.25)", 12.625),
        ("round(100.0 * count(*) filter (where not is_bot) / count(*), 1)", 83.3),
        ("sum(case when path like '/shop/%' then 2 else 1 end)", 7),
        ("sum(try_cast(properties ->> '$.price' as decimal(18, 4)))", 19.75),
        ("sum(cast(json_extract_string(properties, '$.price') as decimal(18, 4)))", 19.75),
        ("count(*) filter (where properties ->> '$.items[0].sku' = 'x')", 1),
        ("count(*) filter (where starts_with(path, '/shop') and length(trim(path)) between 1 and 10)", 2),
        ("count(*) filter (where event not in ('search', 'x') or country is not null)", 2),
        ("count(*) filter (where date_part('minute', event_time) = 30)", 1),
        ("count(*) filter (where extract(hour from event_time) < 12)", 0),
        ("count(distinct date_trunc('minute', event_time))", 2),
        ("count(*) filter (where event_time >= timestamp '2026-03-02 12:30:00')", 1),
        ("date_diff('second', min(event_time), max(event_time))", 1800),
        ("count(*) filter (where coalesce(country, 'none') is distinct from 'DE')", 4),
        ("-sum(-revenue)", 30.5),
        ("sum(revenue) * count(*)", 152.5),
        ("sum(greatest(revenue, 15))", 4 * 15 + 20.5),
    ],
)
def test_expressions_are_computed_at_both_grains(expression: str, value: float) -> None:
    assert of_hour(EVENTS, [custom(expression)]) == {"mine": value}
    assert of_day(EVENTS, metrics=[custom(expression)]) == {"mine": value}


@pytest.mark.parametrize(
    "expression, value",
    [
        ("count(*)", 2),
        ("sum(duration_s)", 30.5),
        ("avg(duration_s)", 15.25),
        ("count(distinct visitor) filter (where country = 'DE')", 1),
        ("count(*) filter (where not is_bounce) / count(*)", 0.5),
        ("sum(case when country is null then 1 else 0 end)", 1),
        ("max(page_views)", 3),
    ],
)
def test_expressions_over_sessions_are_computed_by_day_without_bots(expression: str, value: float) -> None:
    assert of_day(EVENTS, SESSIONS, [custom(expression, "sessions")]) == {"mine": value}


@pytest.mark.parametrize(
    "expression", ["count(*)", "sum(1)", "sum(case when country is null then 1 else 0 end)", "sum(page_views)"]
)
def test_counts_and_sums_over_no_session_are_zero(expression: str) -> None:
    assert of_day(EVENTS, [], [custom(expression, "sessions")]) == {"mine": 0}


@pytest.mark.parametrize("expression", ["avg(page_views)", "max(1)", "sum(page_views) / count(*)"])
def test_other_aggregates_over_no_session_have_no_row(expression: str) -> None:
    assert of_day(EVENTS, [], [custom(expression, "sessions")]) == {}


@pytest.mark.parametrize(
    "expression, value",
    [
        ("sum(cast(properties ->> '$.quantity' as bigint) * 2)", 4),  # two of three overflow
        ("sum(cast(properties ->> '$.quantity' as bigint) * 2) filter (where 2 * line_number is null)", 4),
        (
            "sum(cast(properties ->> '$.quantity' as bigint) * 2 + 1)"
            " filter (where cast(properties ->> '$.quantity' as bigint) * 2 > 3)",
            5,
        ),
        ("sum(cast(properties ->> '$.price' as integer))", 20),  # 12.50 and 7.25, rounded; one is text, one infinite
        ("count(*) filter (where cast(properties ->> '$.quantity' as bigint) * 3 > 5)", 1),
        ("sum(revenue) / (count(*) - count(*))", None),
        ("sum(line_number % 0)", 0),
        ("sum(abs(cast(properties ->> '$.quantity' as bigint)))", float(2 + 9223372036854775807)),
        ("sum(revenue) * sum(revenue) * sum(revenue) * sum(revenue) * sum(revenue)", 30.5**5),
        ("1e300 * count(*) * 1e300", None),
        ("max(cast(properties ->> '$.quantity' as bigint)) + max(cast(properties ->> '$.quantity' as bigint))", None),
        ("-min(cast(properties ->> '$.quantity' as bigint))", None),
        ("sum(cast(properties ->> '$.quantity' as bigint) % -1)", 0),  # the least bigint has no positive counterpart
        ("count(*) filter (where cast(path as date) < event_time)", 0),
        ("count(*) filter (where not properties ->> '$.price')", 0),
    ],
)
def test_a_value_that_can_not_be_computed_is_null(expression: str, value: float | None) -> None:
    assert of_hour(EVENTS, [custom(expression)]) == ({} if value is None else {"mine": value})


@pytest.mark.parametrize(
    "compared", ["< event_time", "between event_time and event_time", "in (event_time, event_time)"]
)
@pytest.mark.parametrize("day, count", [("5000000-01-01", 0), ("2262-04-12", 0), ("1677-09-21", 0), ("infinity", 0)])
def test_dates_that_some_engines_lack_are_null(compared: str, day: str, count: int) -> None:
    events = [event(properties=f'{{"due": "{day}"}}'), event(properties='{"due": "2026-03-02"}', at=NOON)]
    due = "cast(properties ->> '$.due' as date)"
    found = of_hour(events, [custom(f"count({due}) + 10 * count(*) filter (where {due} {compared} is null)")])
    assert found == {"mine": 1 + 10}


def test_malformed_json_is_null() -> None:
    events = [event(properties='{"n": "\\ud800"}'), event(properties='{"n": 1}')]
    assert of_hour(events, [custom("count(properties ->> '$.n')")]) == {"mine": 1}


def test_two_aggregates_are_subtracted_exactly() -> None:
    """Decimals are subtracted; doubles would give 0.19999999999999998."""
    events = [event(revenue=Decimal("0.3")), event(revenue=Decimal("0.1"))]
    assert of_hour(events, [custom("max(revenue) - min(revenue)")]) == {"mine": 0.2}


@pytest.mark.parametrize(
    "pattern",
    [
        "like '%a%a%a%c%'",
        "ilike '%A%A%A%C%'",
        "like '%a_%'",
        "like '%_c'",
        "not like '%a%b%c%d%e%f'",
        "like '%c!%%' escape '!'",
    ],
)
def test_patterns_take_linear_time(pattern: str) -> None:
    events = [event(path="a" * 32_000) for _ in range(20)]
    began = time.process_time()
    of_hour(events, [custom(f"count(*) filter (where path {pattern})")])
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "expression", ["sum(revenue) / 3 + avg(revenue)", "avg(cast(properties ->> '$.n' as decimal(18, 4)))"]
)
def test_a_custom_metric_is_bitwise_equal_in_any_order_of_rows(expression: str) -> None:
    draw = random.Random(5)
    events = [
        event(revenue=Decimal(draw.randrange(10**12)).scaleb(-4), properties=f'{{"n": {draw.random() * 1e9:.4f}}}')
        for _ in range(5000)
    ]
    mine = [custom(expression)]
    found = set()
    for threads in (1, 2, 3):
        draw.shuffle(events)
        window = Window(MONDAY, MONDAY + DAY)
        found |= {value.hex() for value in values("day", window, events, metrics=mine, threads=threads).values()}
    assert len(found) == 1


def test_standard_and_custom_metrics_are_computed_together() -> None:
    mine = CustomMetric(name="searches", expression="count(*) filter (where event = 'search')")
    per_visit = CustomMetric(name="searches_per_visit", source="sessions", expression="sum(events) / count(*)")
    metrics = registry([mine, per_visit])
    found = of_day(EVENTS, SESSIONS, metrics)
    assert {metric.name for metric in metrics} == set(found)
    assert (found["searches"], found["searches_per_visit"], found["events"]) == (3, 3, 5)
    assert "searches" in of_hour(EVENTS, metrics)


def test_many_custom_metrics_fit_into_one_statement() -> None:
    mine = [CustomMetric(name=f"metric_{number}", expression=f"count(*) + {number}") for number in range(150)]
    found = of_hour(EVENTS, registry(mine))
    assert [found[f"metric_{number}"] for number in range(150)] == [5 + number for number in range(150)]


def test_texts_of_metrics_are_treated_as_data() -> None:
    mine = custom("count(*) filter (where event = '''; drop table events; --' or event = '$start' or path = '\"')")
    assert of_hour([event(event="'; drop table events; --"), event(event="$start"), event()], [mine]) == {"mine": 2}
