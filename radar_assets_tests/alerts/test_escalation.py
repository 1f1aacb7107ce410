"""Escalation: alerts that no one acknowledges reach further channels, each step once, on both databases."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from radar_assets.alerts import records
from radar_assets.alerts.escalation import escalate
from radar_assets.alerts.rules import Rule
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.settings import load_settings
from radar_assets.store.database import Store
from radar_assets.store.models import AlertRule
from radar_assets_tests.alerts.records import add_channels, alerts, at, deliveries, note, rule

STEPS = [{"after": "15m", "channels": ["on-call"]}, {"after": "1h", "channels": ["boss", "on-call"]}]
PAGERDUTY = {"name": "on-call", "type": "pagerduty", "routing_key": "a" * 32}


def escalating(store: Store, **fields: Any) -> Rule:
    """A rule with two steps, which is applied."""
    by = rule(**{"escalation": STEPS, **fields})
    with store.session() as session:
        session.add(AlertRule(name=by.name, position=0, spec=by.model_dump(mode="json", by_alias=True)))
    return by


def tick(store: Store, now: datetime) -> int:
    return escalate(store, STANDARD_METRICS, load_settings(ui_url="https://radar.example"), now)


def sent(store: Store) -> list[tuple[str, str]]:
    """Channel and reason of all messages, in order."""
    return [(row.channel, notice["reason"]) for row in deliveries(store) for notice in row.contents]


def fire(store: Store, by: Rule, values: Mapping[int, float | None] | None = None) -> datetime:
    """Fire an alert for the hour from 8; returns when it was announced."""
    now = at(9.1)
    note(store, by, values or {8: 50}, now)
    return now


def test_an_unacknowledged_alert_reaches_the_next_channels_once_each(store: Store) -> None:
    now = fire(store, escalating(store))
    assert tick(store, now + timedelta(minutes=14)) == 0
    assert tick(store, now + timedelta(minutes=15)) == 1
    assert tick(store, now + timedelta(minutes=15)) == 0
    assert tick(store, now + timedelta(minutes=59)) == 0
    assert tick(store, now + timedelta(minutes=60)) == 1
    assert tick(store, now + timedelta(hours=3)) == 0
    assert sent(store) == [("chat", "fired"), ("on-call", "escalated"), ("boss", "escalated"), ("on-call", "escalated")]
    notice = deliveries(store)[1].contents[0]
    assert notice["announced_at"] == now.isoformat()
    assert notice["check_url"].startswith("https://radar.example/assets/hourly_metrics?")


def test_steps_that_became_due_while_radar_was_down_are_all_sent(store: Store) -> None:
    now = fire(store, escalating(store))
    assert tick(store, now + timedelta(hours=2)) == 2


def test_an_alert_that_may_be_long_over_is_not_escalated_before_it_is_judged_again(store: Store) -> None:
    now = fire(store, escalating(store))
    assert tick(store, now + timedelta(hours=25)) == 0


def test_no_step_is_sent_while_the_alert_is_acknowledged_or_snoozed(store: Store) -> None:
    now = fire(store, escalating(store))
    (alert,) = alerts(store)
    records.snooze(store, alert.id, now + timedelta(hours=1), now)
    assert tick(store, now + timedelta(minutes=59)) == 0
    # After the snooze, the time counts anew.
    assert tick(store, now + timedelta(minutes=74)) == 0
    assert tick(store, now + timedelta(minutes=75)) == 1
    records.acknowledge(store, alert.id, "ada", now + timedelta(minutes=80))
    assert tick(store, now + timedelta(hours=9)) == 0


def test_a_recovery_ends_it_and_is_announced_to_all_that_were_notified(store: Store) -> None:
    by = escalating(store)
    now = fire(store, by)
    tick(store, now + timedelta(minutes=20))
    note(store, by, {8: 50, 9: 1}, at(10.1))
    assert sent(store)[-2:] == [("chat", "recovered"), ("on-call", "recovered")]
    assert tick(store, at(12)) == 0
    threads = {row.thread_id for row in deliveries(store)}
    assert len(threads) == 1


def test_an_alert_that_resumes_escalates_anew(store: Store) -> None:
    by = escalating(store)
    now = fire(store, by)
    tick(store, now + timedelta(minutes=20))
    note(store, by, {8: 50, 9: 1}, at(10.1))
    # Late data show that the hour broke the rule after all.
    note(store, by, {8: 50, 9: 60}, at(10.5))
    before = len(sent(store))
    assert tick(store, at(10.5) + timedelta(minutes=14)) == 0
    assert tick(store, at(10.5) + timedelta(minutes=15)) == 1
    assert sent(store)[before:] == [("on-call", "escalated")]


def test_quiet_hours_hold_back_all_but_critical_alerts(store: Store) -> None:
    quiet = {"start": "09:10", "end": "11:00"}
    now = fire(store, escalating(store, quiet_hours=quiet))
    assert tick(store, now + timedelta(minutes=30)) == 0
    assert tick(store, at(11)) == 2


@pytest.mark.parametrize("change", [{"enabled": False}, {"escalation": []}])
def test_a_rule_that_no_longer_escalates_sends_nothing(store: Store, change: dict[str, Any]) -> None:
    now = fire(store, escalating(store))
    with store.session() as session:
        row = session.get_one(AlertRule, "errors_high")
        row.spec = {**row.spec, **change}
    assert tick(store, now + timedelta(hours=2)) == 0


def test_concurrent_ticks_send_each_step_once(store: Store) -> None:
    now = fire(store, escalating(store))
    start, done = threading.Barrier(8), []

    def once() -> None:
        start.wait()
        done.append(tick(store, now + timedelta(minutes=20)))

    threads = [threading.Thread(target=once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 1
    assert sent(store) == [("chat", "fired"), ("on-call", "escalated")]


def test_incidents_of_a_pager_are_never_part_of_a_digest(store: Store) -> None:
    add_channels(store, [PAGERDUTY])
    by = escalating(store, channels=("chat", "on-call"))
    for project in range(12):
        from radar_assets.alerts.ledger import record
        from radar_assets_tests.alerts.records import context, judged

        record(store, judged(by, {8: 50}, f"shop-{project}"), context(at(9.1), throttle_per_hour=1))
        record(store, judged(by, {8: 50, 9: 1}, f"shop-{project}"), context(at(10.1), throttle_per_hour=0))
    rows = [row for row in deliveries(store) if row.channel == "on-call"]
    assert len(rows) == 24
    assert all(len(row.contents) == 1 and row.topic.startswith("separate:") for row in rows)

    from radar_assets.messaging import outbox

    claim = outbox.claim(store, "on-call", at(12))
    assert claim
    assert len(claim.draft.contents) == 1
    assert claim.draft.channel == "on-call"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"escalation": [*reversed(STEPS)]}, "each step must come later"),
        ({"escalation": STEPS, "channels": ()}, "requires channels"),
        ({"escalation": [{"after": "soon", "channels": ["on-call"]}]}, "invalid duration"),
        ({"escalation": [{"after": "5m", "channels": []}]}, "at least 1 item"),
    ],
)
def test_invalid_steps_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        rule(**fields)


def test_unknown_channels_of_a_step_are_refused() -> None:
    spec = {"name": "errors_high", "metric": "errors", "threshold": 1, "channels": ["chat"], "escalation": STEPS}
    with pytest.raises(ValidationError, match="unknown channel boss"):
        Rule.model_validate(spec, context={"channels": ["chat", "on-call"]})
