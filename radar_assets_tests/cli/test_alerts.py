"""`radar alerts`, `radar deliveries` and `radar watch`: alerts are shown and changed, and the daemon is monitored."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat

from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.ledger import record
from radar_assets.alerts.rules import Rule
from radar_assets.cli.ui_address import recorded_ui
from radar_assets.config import Config, apply_config
from radar_assets.messaging import outbox
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.settings import Settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import AlertRule
from radar_assets.windows import Window, utc_now
from radar_assets_tests.alerts.records import add_channels, alerts, context, deliveries, rule
from radar_assets_tests.cli.conftest import HOUR, Radar
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.messaging.sending import webhook


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.database)
    yield store
    store.close()


def fire(store: Store, project: str = "shop", by: Rule | None = None, **numbers: Any) -> str:
    """Record an alert on the last hour. Returns its id."""
    window = Window.of_hour(HOUR)
    breach = Breach(project, window, window.start, 50.0, 10.0, **numbers)
    record(store, Findings(by or rule(), {(project, ""): [window]}, [breach]), context(utc_now()))
    return alerts(store)[-1].id


def test_an_alert_without_data_is_listed_until_it_ends(radar: Radar, store: Store) -> None:
    id = fire(store)
    last = Window.of_hour(HOUR)
    for hours, listed, shown in (
        # The page names the day too where the last hour ended at midnight.
        (1, f"no data since {last.end:%Y-%m-%d %H:%M}", rf"no data since (\w+ \d+ \w+, )?{last.end:%H:%M}\n"),
        (80, "No alert", "ended, no data since"),
    ):
        silent = {("shop", ""): Window(last.end, last.end + timedelta(hours=hours))}
        record(store, Findings(rule(), {("shop", ""): []}, [], silent=silent), context(utc_now()))
        assert listed in radar("alerts list").out
        if hours == 80:
            assert "ended without data" in radar("alerts list --all").out
        (row,) = json.loads(radar("alerts list --all --format json").out)
        assert row["no_data_since"].startswith(f"{last.end:%Y-%m-%d}")
        apply_config(store, Config(rules=(rule(),)))
        assert re.search(shown, radar(f"alerts show {id}").out)


def test_an_alert_is_listed_acknowledged_and_snoozed(radar: Radar, store: Store) -> None:
    assert "No alert is firing" in radar("alerts list").out
    id = fire(store)
    listed = radar("alerts list").out
    assert id[:8] in listed
    assert "errors_high" in listed
    assert radar(f"alerts ack {id[:8]} --by ana").code == 0
    assert "acknowledged by ana" in radar("alerts list").out
    assert radar(f"alerts snooze {id} 2d").code == 0
    assert "acknowledged by ana; snoozed, 47 h left" in radar("alerts list").out
    (row,) = json.loads(radar("alerts list --format json").out)
    assert (row["id"], row["state"], row["acknowledged_by"]) == (id, "firing", "ana")
    wrong = radar(f"alerts snooze {id} soon")
    assert (wrong.code, "use e.g. 30m, 4h or 2d" in wrong.err) == (2, True)
    assert "radar alerts list" in radar("alerts ack nothing").err


def test_an_alert_is_shown_with_the_texts_of_its_messages(
    radar: Radar, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = rule(
        name="errors_doubled",
        description="Look at the deploys first.",
        operator="change_pct",
        threshold=100,
        severity="high",
    )
    id = fire(store, by=drops, baseline=20.0, usual=(18.0, 24.0))
    removed = radar(f"alerts show {id[:8]}").out
    assert "errors_doubled; it was removed" in removed
    apply_config(store, Config(rules=(drops,)))
    with recorded_ui(settings, "http://127.0.0.1:3999"):
        shown = radar(f"alerts show {id[:8]}").out
    for part in (
        "Look at the deploys first.",
        id,
        "50",
        "50 errors, up 150% on last week (20)",
        "errors_doubled, 10% or more above last week",
        "+10%",
        "high",
        "18 to 24 at the same hour and weekday",
        f"{HOUR:%Y-%m-%d %H:%M}",
        "chat",
        "pending",
        "http://127.0.0.1:3999/assets/hourly_metrics?view=checks&checkDetail=errors_doubled",
    ):
        assert part in shown
    monkeypatch.setenv("RADAR_UI_URL", "https://radar.example")
    assert "https://radar.example/assets/hourly_metrics" in radar(f"alerts show {id[:8]}").out


def test_a_project_name_can_not_drive_the_terminal(radar: Radar, store: Store) -> None:
    fire(store, "[red]\x1b[31mshop")
    out = radar("alerts list").out
    assert "\x1b[31mshop" not in out
    assert "[red]\\x1b" in out


def test_messages_are_listed_retried_and_dropped(radar: Radar, store: Store) -> None:
    assert "No messages" in radar("deliveries list").out
    fire(store)
    claim = outbox.claim(store, "chat", utc_now())
    assert claim
    outbox.failed(store, claim, "404: no such channel", utc_now(), is_permanent=True)
    id = claim.draft.id
    listed = radar("deliveries list --state dead").out
    assert "404: no such channel" in listed
    assert radar(f"deliveries retry {id[:8]}").code == 0
    assert radar("deliveries list --state dead").out == "No messages.\n"
    assert outbox.due_rows(store, utc_now()) == [(id, 1)]
    assert radar(f"deliveries drop {id[:8]}").code == 0
    assert [row.state for row in deliveries(store)] == ["dropped"]
    assert id in radar("sql 'select * from alert_deliveries' --format csv").out


def test_watch_monitors_the_daemon_and_sends_due_messages_while_it_is_down(
    radar: Radar, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_ALLOWED_HOSTS", "127.0.0.1")
    watching = rule(name="daemon_lives", kind="error", watch="daemon", metric=None, threshold=None, channels=("hook",))

    def beat(age: timedelta) -> None:
        with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
            for kind in instance.get_required_daemon_types():
                at = (utc_now() - age).timestamp()
                instance.add_daemon_heartbeat(DaemonHeartbeat(at, kind, "id"))

    with endpoint() as receiver:
        add_channels(store, [webhook(receiver.url)])
        beat(timedelta(hours=2))
        run = radar("watch --once")
        warning = "No enabled rule watches the daemon; no one will be notified if it stops."
        assert (run.code, warning in run.err) == (1, True)
        assert receiver.ids == [], "no rule asks for it"
        with store.session() as session:
            session.add(AlertRule(name=watching.name, position=0, spec=watching.model_dump(mode="json", by_alias=True)))
        run = radar("watch --once")
        assert (run.code, "1 sent" in run.err, "No enabled rule" in run.err) == (1, True, False)
        assert "sent no heartbeat" in str(receiver.received[0][1])
        assert radar("watch --once").code == 1
        assert len(receiver.ids) == 1
        beat(timedelta(0))
        assert radar("watch --once").code == 0
        assert radar("watch --every 0").code == 2
    assert [alert.state for alert in alerts(store)] == ["firing"], "no five minutes have ended since it lives"
