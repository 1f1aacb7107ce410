"""The same verdicts, in any order and batching of windows, give the same episodes, and no window is announced as fired twice."""

from collections.abc import Iterator, Mapping
from itertools import groupby

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from radar_assets.alerts.ledger import record
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Alert, AlertBreach, AlertHour, Delivery
from radar_assets.windows import HOUR
from radar_assets_tests.alerts.records import DAY, alerts, at, breaches, context, deliveries, judged, note, rule
from radar_assets_tests.processes import run_at_once

HOURS = 12
PROJECTS = ("shop", "blog")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for all examples, since creating one takes longer than an example."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'store.db'}")
    yield store
    store.close()


def clear(store: Store) -> None:
    with store.session() as session:
        for table in (AlertBreach, Alert, AlertHour, Delivery):
            session.execute(sa.delete(table))


def expected(values: Mapping[int, int]) -> list[list[int]]:
    """Runs of hours in which the rule is broken, without an hour in between that kept it."""
    runs = groupby(sorted(values), key=lambda hour: values[hour] > 10)
    return [list(hours) for is_broken, hours in runs if is_broken]


def check_announced_once(store: Store) -> None:
    """No window is covered by two notices of a start, and no notice occurs twice."""
    for project in PROJECTS:
        fired = [
            (notice["window_start"], notice["alert_id"])
            for row in deliveries(store)
            for notice in row.contents
            if notice["reason"] in ("fired", "fired_and_recovered") and notice["project_id"] == project
        ]
        assert len({start for start, _ in fired}) == len(fired)
        assert len({alert for _, alert in fired}) == len(fired)
        silent = [
            notice["alert_id"] for row in deliveries(store) for notice in row.contents if notice["reason"] == "no_data"
        ]
        assert len(set(silent)) == len(silent)
    keys = [(row.channel, row.dedupe_key) for row in deliveries(store)]
    assert len(set(keys)) == len(keys)


hours = st.integers(0, HOURS - 1)
BEFORE = [
    {7: 50, 0: 1, 11: 1, 6: 1, 10: 1, 5: 50},
    {0: 1, 1: 1, 11: 1, 2: 1, 6: 50, 8: 50},
    {6: 1, 7: 1, 0: 1, 1: 1, 2: 1, 3: 1},
    {9: 1, 8: 50, 0: 1, 3: 50, 1: 1},
    {9: 1, 3: 1, 0: 1},
    {7: 50},
]
AFTER = [{6: 50}, {3: 50}, {7: 1}]
"""Steps around an example that once broke the ledger."""
batches = st.lists(st.sets(hours, min_size=1, max_size=HOURS), min_size=1, max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(hours, st.sampled_from([1, 50, None]), min_size=1, max_size=HOURS),
    order=batches,
    gaps=st.lists(st.integers(0, 30), min_size=12, max_size=12),
)
@example(values={9: None, 11: None, 0: 50, 4: 1, 10: 50, 7: None}, order=[{8, 9, 6, 0}], gaps=[0] * 12)
@example(values={3: 50, 4: None, 5: 50, 6: None}, order=[{6}, {3, 4}, {5, 6}], gaps=[5] * 12)
@example(
    # An alert loses its only window to one that was announced earlier, and keeps the start.
    values={3: 50, 4: 50, 5: 50},
    order=[{5}, {3}, {4}],
    gaps=[5] * 12,
)
@example(
    values={0: 1, 1: 1, 2: 1, 3: 50, 7: 1, 4: 1, 5: 1, 6: 50, 9: 50},
    order=[{*range(10)}, {0, 1, 2, 3, 4, 9}, {0, 1, 7}],
    gaps=[0] * 12,
)
def test_the_same_values_in_any_order_and_batching_give_the_same_episodes(
    shared: Store, values: dict[int, int | None], order: list[set[int]], gaps: list[int]
) -> None:
    clear(shared)
    by = rule(renotify_every="PT1H")
    now = at(HOURS)
    for batch, gap in zip(order, gaps, strict=False):
        now += gap * HOUR / 10
        note(shared, by, {hour: values[hour] for hour in batch if hour in values}, now, throttle_per_hour=1000)
    for hour in sorted(values.keys() - set().union(*order), reverse=True):
        note(shared, by, {hour: values[hour]}, now, throttle_per_hour=1000)
    note(shared, by, values, now, throttle_per_hour=1000)
    found = [breaches(shared, alert) for alert in alerts(shared)]
    known = {hour: value for hour, value in values.items() if value is not None}
    assert [hours for hours in found if hours] == expected(known)
    for alert in alerts(shared):
        if had := breaches(shared, alert):
            assert (alert.fired_at, alert.ended_at) == (at(had[0]), at(had[-1] + 1))
            assert alert.started_at == alert.fired_at
            over = any(hour > had[-1] for hour, value in known.items() if value <= 10)
            silent = any(hour > had[-1] for hour in values)
            assert alert.state == ("resolved" if over else "no_data" if silent else "firing")
            assert (alert.no_data_since is None) is (alert.state != "no_data")
    check_announced_once(shared)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.dictionaries(hours, st.sampled_from([1, 50, None]), min_size=1, max_size=6), min_size=1, max_size=15
    )
)
@example(
    # An hour was announced by an alert that no longer contains it and that the judgement does not affect.
    steps=[*BEFORE, {4: 50, 0: 1, 3: 1}, *AFTER],
)
@example(
    # The alert that has announced an hour is not affected by the judgement that could announce it again.
    steps=[{0: 1, 1: 50, 8: 50}, {0: 1, 8: 1}, {8: 50}, {0: None}],
)
@example(
    # Two alerts are shifted to just after the same start.
    steps=[*BEFORE, {4: 50, 0: 1, 3: 50, 8: 1}, *AFTER],
)
def test_repeatedly_changed_values_end_like_the_last_ones_and_are_announced_once(
    shared: Store, steps: list[dict[int, int | None]]
) -> None:
    clear(shared)
    last: dict[int, int] = {}
    for index, step in enumerate(steps):
        # A value that is gone says nothing, so the earlier verdict stays.
        last |= {hour: value for hour, value in step.items() if value is not None}
        for project in PROJECTS:
            record(shared, judged(rule(), step, project), context(at(HOURS + index / 4), throttle_per_hour=1000))
        check_announced_once(shared)
    # As at the next tick. Hours that kept the rule before an alert began are not stored, so they can't separate it until then.
    for project in PROJECTS:
        record(shared, judged(rule(), last, project), context(at(HOURS + len(steps) / 4), throttle_per_hour=1000))
    check_announced_once(shared)
    for project in PROJECTS:
        own = [alert for alert in alerts(shared) if alert.project_id == project]
        assert [had for alert in own if (had := breaches(shared, alert))] == expected(last)
        assert all(alert.announced_at for alert in own if not breaches(shared, alert))
    with shared.session(read_only=True) as session:
        marked = set(session.scalars(sa.select(AlertHour.hour)))
    assert {alert.fired_at for alert in alerts(shared)} <= marked


def test_concurrent_processes_record_one_alert_and_announce_it_once(database_url: str) -> None:
    open_store(database_url).close()
    run_at_once(_record_all, database_url, processes=4)
    store = open_store(database_url)
    assert [breaches(store, alert) for alert in alerts(store)] == [[2, 3, 4, 5], [8], [2, 3, 4, 5], [8]]
    fired = [
        (notice["project_id"], notice["window_start"])
        for row in deliveries(store)
        for notice in row.contents
        if notice["reason"] in ("fired", "fired_and_recovered")
    ]
    # An hour that is recorded before the hours in between is a separate alert until these join them.
    assert len(set(fired)) == len(fired)
    kept = [alert for alert in alerts(store) if breaches(store, alert)]
    assert len(kept) == 4
    check_announced_once(store)
    store.close()


def _record_all(rank: int, url: str) -> None:
    """Judge the same ten hours of two projects, starting at a different hour in each process."""
    store = open_store(url)
    values = {hour: 50 if hour in (2, 3, 4, 5, 8) else 1 for hour in range(10)}
    for step in range(10):
        hour = (step + rank * 3) % 10
        for project in PROJECTS:
            found = judged(rule(), {hour: values[hour]}, project)
            record(store, found, context(DAY + 10 * HOUR, throttle_per_hour=1000))
    store.close()
