"""Evaluation of rules on real tables: all operators, missing values, requested windows, and windows that have to wait."""

from datetime import timedelta

import pytest
import time_machine

from radar_assets.events.tables import EVENTS
from radar_assets.lakehouse.engines import limits
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.metrics.registry import Metric, registry
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY, HOUR, Window
from radar_assets_tests.alerts.tables import MONDAY, NOON, WEEK, broken, fill, judge, judged, rule, series
from radar_assets_tests.metrics.relations import event, relation


@pytest.fixture
def lakehouse(settings: Settings) -> Lakehouse:
    return open_lakehouse(settings)


BEFORE = NOON - HOUR


@pytest.mark.parametrize(
    ("operator", "threshold", "breaks"),
    [
        ("gt", 20, {21}),
        ("gte", 20, {20, 21}),
        ("lt", 20, {19}),
        ("lte", 20, {19, 20}),
        ("eq", 20, {20}),
    ],
)
def test_a_value_is_compared_with_the_threshold(
    lakehouse: Lakehouse, operator: str, threshold: float, breaks: set[int]
) -> None:
    fill(lakehouse, "1h", series({str(value): {BEFORE: 5, NOON: value} for value in (19, 20, 21)}))
    (found,) = judge(lakehouse, rule(operator=operator, threshold=threshold))
    assert broken(found) == {str(value): [NOON] for value in breaks}
    assert judged(found) == {str(value): [NOON] for value in (19, 20, 21)}


@pytest.mark.parametrize(
    ("threshold", "breaks"), [(-50, {"fell to 40", "fell to 50", "gone"}), (50, {"rose to 150", "rose to 160"})]
)
@pytest.mark.parametrize("against", ["previous", "same_weekday"])
def test_a_change_is_measured_from_the_window_before_or_a_week_before(
    lakehouse: Lakehouse, against: str, threshold: float, breaks: set[str]
) -> None:
    base = BEFORE if against == "previous" else NOON - WEEK
    now = {"fell to 40": 40, "fell to 50": 50, "fell to 51": 51, "same": 100, "rose to 149": 149}
    now |= {"rose to 150": 150, "rose to 160": 160}
    fill(lakehouse, "1h", series({name: {base: 100, NOON: value} for name, value in now.items()}))
    fill(lakehouse, "1h", series({"gone": {base: 100}} | {name: {base: 100} for name in now}))
    (found,) = judge(lakehouse, rule(operator="change_pct", against=against, threshold=threshold))
    assert broken(found) == {name: [NOON] for name in breaks}
    assert set(judged(found)) == {*now, "gone"}
    assert {breach.baseline for breach in found.findings.breaches} == {100}


def test_a_change_below_the_minimum_is_not_judged_unless_the_verdict_is_certain(lakehouse: Lakehouse) -> None:
    values = {"small": (9, 0), "enough": (10, 0), "back": (0, 50), "still gone": (0, 0)}
    rows = {name: {NOON - 2 * WEEK: 1.0, NOON - WEEK: float(a), NOON: float(b)} for name, (a, b) in values.items()}
    fill(lakehouse, "1h", series(rows))
    (found,) = judge(lakehouse, rule(operator="change_pct", threshold=-50, minimum=10))
    assert broken(found) == {"enough": [NOON]}
    assert judged(found) == {"enough": [NOON], "back": [NOON]}
    (found,) = judge(lakehouse, rule(operator="change_pct", threshold=50, minimum=10))
    assert broken(found) == {"back": [NOON]}, "from 0 to more than the minimum"
    assert set(judged(found)) == {"enough", "small", "still gone", "back"}


@pytest.mark.parametrize(("threshold", "a_week_ago"), [(-60, 900), (60, 10)])
def test_an_outlier_a_week_ago_does_not_fire_today(lakehouse: Lakehouse, threshold: float, a_week_ago: float) -> None:
    """Otherwise, a rush or an outage would cause an opposite alert a week later."""
    usual = {NOON - weeks * WEEK: 100.0 for weeks in (2, 3, 4)}
    today = 100.0 if threshold < 0 else 105.0
    fill(lakehouse, "1h", series({"known": {**usual, NOON - WEEK: a_week_ago, NOON: today}}))
    weekly = rule(operator="change_pct", threshold=threshold)
    assert broken(judge(lakehouse, weekly)[0]) == {}
    fill(lakehouse, "1h", series({"known": {NOON: 20.0 if threshold < 0 else 900.0}}))
    assert broken(judge(lakehouse, weekly)[0]) == {"known": [NOON]}


def test_for_requires_consecutive_windows(lakehouse: Lakehouse) -> None:
    hours = [NOON + index * HOUR for index in range(8)]
    values = dict(zip(hours, [5, 20, 20, 5, 20, 20, 20, 20], strict=True))
    fill(lakehouse, "1h", series({"shop": {BEFORE: 5, **values}}))
    (found,) = judge(lakehouse, rule(**{"for": 3}), span=Window(NOON, NOON + 8 * HOUR))
    assert broken(found) == {"shop": [hours[6], hours[7]]}
    assert [breach.since for breach in found.findings.breaches] == [hours[4], hours[5]]
    assert judged(found) == {"shop": hours}


def test_windows_that_depend_on_a_window_are_judged_with_it(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1h", series({"shop": {NOON - 3 * HOUR: 5} | {NOON + index * HOUR: 20 for index in range(-1, 4)}}))
    later = MONDAY + 40 * DAY
    (found,) = judge(lakehouse, rule(**{"for": 3}), now=later)
    assert judged(found) == {"shop": [NOON, NOON + HOUR, NOON + 2 * HOUR]}
    assert broken(found) == {"shop": [NOON + HOUR, NOON + 2 * HOUR]}
    (found,) = judge(lakehouse, rule(operator="change_pct", threshold=-50, against="previous", **{"for": 2}), now=later)
    assert [window.start for window in found.asked] == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    (found,) = judge(lakehouse, rule(operator="change_pct", threshold=-50), now=later)
    assert [window.start for window in found.asked] == [NOON, NOON + WEEK]


def test_an_unknown_window_among_consecutive_ones_leaves_the_verdict_open(lakehouse: Lakehouse) -> None:
    """A rate has no value in an hour without events, so it is unknown whether the rule was broken before."""
    rates = {NOON - 2 * HOUR: 0.9, BEFORE: None, NOON: 0.9}
    fill(lakehouse, "1h", series({"open": rates, "sound": {**rates, NOON: 0.1}, "new": {NOON: 0.9}}, "error_rate"))
    (found,) = judge(lakehouse, rule(metric="error_rate", threshold=0.5, **{"for": 2}))
    assert broken(found) == {}
    assert judged(found) == {"sound": [NOON]}


def test_windows_without_events_are_zero_for_counts_and_have_no_rate(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1h", [*series({"shop": {BEFORE: 5}}), ("shop", BEFORE, "error_rate", 0.5)])
    fill(lakehouse, "1h", [], [Window.of_hour(NOON)])
    count, rate = judge(
        lakehouse,
        rule(operator="lt", threshold=1),
        rule(name="rate", metric="error_rate", operator="lt", threshold=1),
    )
    assert broken(count) == {"shop": [NOON]}
    assert [breach.value for breach in count.findings.breaches] == [0]
    assert (broken(rate), judged(rate)) == ({}, {})


def test_a_metric_missing_from_an_hour_with_events_has_no_value(lakehouse: Lakehouse) -> None:
    """For example a metric that was declared after the hour was built: it was not counted, so it is not zero."""
    fill(lakehouse, "1h", series({"shop": {BEFORE: 5, NOON: None}}))
    (found,) = judge(lakehouse, rule(operator="lt", threshold=1))
    assert (broken(found), judged(found)) == ({}, {})


def test_new_and_long_gone_projects_are_not_missed(lakehouse: Lakehouse) -> None:
    days = {"gone": 29, "away": 27}
    fill(lakehouse, "1h", series({name: {NOON - count * DAY: 5} for name, count in days.items()}))
    fill(lakehouse, "1d", series({name: {MONDAY - count * DAY: 5} for name, count in days.items()}))
    fill(lakehouse, "1h", series({"new": {NOON: 0}}))
    (found,) = judge(lakehouse, rule(operator="lt", threshold=1))
    assert broken(found) == {"away": [NOON]}
    assert set(judged(found)) == {"away", "new"}
    (later,) = judge(lakehouse, rule(operator="lt", threshold=1), span=Window(NOON + HOUR, NOON + 2 * HOUR))
    assert set(broken(later)) == {"away", "new"}


def test_the_first_window_of_a_project_can_only_be_too_high(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1h", series({"new": {NOON: 20}}))
    above, below = judge(lakehouse, rule(), rule(name="below", operator="lt", threshold=30))
    assert (broken(above), broken(below)) == ({"new": [NOON]}, {})


def test_a_rule_applies_to_its_projects_with_their_overrides(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1h", series({name: {BEFORE: 5, NOON: 20} for name in ("a", "b", "c")}))
    overrides = {"b": {"threshold": 30}, "c": {"enabled": False}}
    all_, some, none = judge(
        lakehouse,
        rule(overrides=overrides),
        rule(name="some", projects=["b", "c", "not there"], overrides={"b": {"threshold": 19}}),
        rule(name="none", projects=["d"]),
    )
    assert (broken(all_), set(judged(all_))) == ({"a": [NOON]}, {"a", "b"})
    assert (broken(some), set(judged(some))) == ({"b": [NOON], "c": [NOON]}, {"b", "c"})
    assert [breach.threshold for breach in some.findings.breaches] == [19, 10]
    assert (broken(none), judged(none)) == ({}, {})


def test_usual_is_the_range_of_the_same_hour_in_four_weeks(lakehouse: Lakehouse) -> None:
    """One of the weeks has no visitors, which is a value too."""
    values = {
        NOON - 5 * WEEK: 1.0,
        NOON - 4 * WEEK: 7.0,
        NOON - 2 * WEEK: 9.0,
        NOON - WEEK: 3.0,
        BEFORE: 99.0,
        NOON: 20.0,
    }
    fill(lakehouse, "1h", series({"shop": values, "new": {BEFORE: 5, NOON: 20}}))
    (found,) = judge(lakehouse, rule())
    assert {breach.project_id: breach.usual for breach in found.findings.breaches} == {"shop": (0, 9), "new": None}


def test_days_are_judged_from_the_daily_table(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1d", series({"shop": {MONDAY - DAY: 5, MONDAY: 20}}, "sessions"))
    (found,) = judge(lakehouse, rule(metric="sessions", window="1d"))
    assert broken(found) == {"shop": [MONDAY]}
    assert found.findings.breaches[0].window == Window(MONDAY, MONDAY + DAY)


def test_only_windows_that_have_ended_and_settled_are_judged(lakehouse: Lakehouse) -> None:
    fill(lakehouse, "1h", series({"shop": {NOON: 20, NOON + HOUR: 20}}))
    span = Window(BEFORE, NOON + 2 * HOUR)
    for minutes, last in ((59, []), (60, []), (61, [NOON]), (120, [NOON]), (121, [NOON, NOON + HOUR])):
        (found,) = judge(lakehouse, rule(), span=span, now=NOON + timedelta(minutes=minutes))
        assert judged(found).get("shop", []) == last


def test_judging_windows_together_equals_judging_them_one_by_one(lakehouse: Lakehouse) -> None:
    hours = [NOON + index * HOUR for index in range(-12, 12)]
    values = {hour: float(index * 7 % 23) for index, hour in enumerate(hours)}
    before = {hour - WEEK: float(index * 5 % 19) for index, hour in enumerate(hours)}
    fill(lakehouse, "1h", series({"shop": {**before, **values}, "blog": dict(list(values.items())[::3])}))
    rules = [
        rule(threshold=15),
        rule(name="row", threshold=5, **{"for": 2}),
        rule(name="fall", operator="change_pct", threshold=-30, minimum=3),
        rule(name="rise", operator="change_pct", threshold=80, against="previous", **{"for": 2}),
    ]
    together = judge(lakehouse, *rules, span=Window(hours[0], hours[-1] + HOUR), now=hours[-1] + HOUR + HOUR / 2)
    alone = {hour: judge(lakehouse, *rules, span=Window(hour, hour + HOUR)) for hour in hours}
    for index, _ in enumerate(rules):
        found = {
            (project, breach)
            for hour in hours
            for project, starts in broken(alone[hour][index]).items()
            for breach in starts
            if breach == hour
        }
        assert found == {(project, at) for project, starts in broken(together[index]).items() for at in starts}
        assert found, "the case says something"


def test_a_failing_metric_leaves_only_its_own_rules_unjudged(lakehouse: Lakehouse) -> None:
    """Its sum overflows. Five-minute values are computed when they are judged."""
    total = Metric(
        name="total", title="", description="", expression="sum(cast(properties ->> '$.n' as decimal(38, 0)))"
    )
    large = f'{{"n": {"9" * 38}}}'
    rows = relation(EVENTS, [event(at=NOON, project_id="shop", properties=large) for _ in range(2)])
    model = SqlModel("events", "from given where event_time between $start and $end")
    lakehouse.rebuild(model, [Window.of_hour(NOON)], lambda *_: {"given": rows})
    five = {"window": "5m", "operator": "gte", "threshold": 0}
    of_total, of_views = judge(
        lakehouse,
        rule(**five, name="of_total", metric="total"),
        rule(**five, name="of_views"),
        metrics=registry([total]),
    )
    assert (broken(of_total), judged(of_total), len(of_total.unsettled)) == ({}, {}, 1)
    assert (broken(of_views), judged(of_views), len(of_views.unsettled)) == ({"shop": [NOON]}, {"shop": [NOON]}, 0)


def test_a_metric_that_took_too_long_is_not_tried_again_for_an_hour(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each evaluation of five-minute rules is a separate process."""
    slow = Metric(name="slow", title="", description="", expression="sum(levenshtein(path, reverse(path)))")
    events = [event(at=NOON, project_id="shop", path=f"{number}{'x' * 400}") for number in range(500)]
    model = SqlModel("events", "from given where event_time between $start and $end")
    rows = relation(EVENTS, events)
    open_lakehouse(settings).rebuild(model, [Window.of_hour(NOON)], lambda *_: {"given": rows})

    def is_omitted(metric: Metric) -> bool:
        five = {"window": "5m", "operator": "gte", "threshold": 0}
        of_slow, of_views = judge(
            open_lakehouse(settings),
            rule(**five, name="of_slow", metric="slow"),
            rule(**five, name="of_views"),
            metrics=registry([metric]),
        )
        assert judged(of_views) == {"shop": [NOON]}
        assert bool(of_slow.unsettled) is (judged(of_slow) == {})
        return bool(of_slow.unsettled)

    with time_machine.travel(NOON, tick=True) as clock:
        monkeypatch.setattr(limits, "SHORTEST_LIMIT_S", 0.02)
        assert is_omitted(slow)
        # From now on, computing it would succeed.
        monkeypatch.setattr(limits, "SHORTEST_LIMIT_S", 60)
        assert is_omitted(slow)
        assert not is_omitted(slow.model_copy(update={"expression": f"{slow.expression} + 1"}))
        clock.shift(HOUR)
        assert not is_omitted(slow)
