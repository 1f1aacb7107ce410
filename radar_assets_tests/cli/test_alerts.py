"""`radar alerts`, `radar deliveries` and `radar watch`: alerts are shown and changed, and the daemon is monitored."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat

from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.ledger import record
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


def fire(store: Store, project: str = "shop") -> str:
    """Record an alert on the last hour. Returns its id."""
    window = Window.of_hour(HOUR)
    found = Findings(rule(), {(project, ""): [window]}, [Breach(project, window, window.start, 50.0, 10.0)])
    record(store, found, context(utc_now()))
    return alerts(store)[-1].id


def test_an_alert_is_listed_shown_acknowledged_and_snoozed(radar: Radar, store: Store) -> None:
    assert "No alert is firing" in radar("alerts list").out
    id = fire(store)
    listed = radar("alerts list").out
    assert id[:8] in listed
    assert "errors_high" in listed
    assert radar(f"alerts ack {id[:8]} --by ana").code == 0
    assert "acknowledged by ana" in radar("alerts list").out
    assert radar(f"alerts snooze {id} 2d").code == 0
    assert "snoozed, 47 h left" in radar("alerts list").out
    shown = radar(f"alerts show {id[:8]}").out
    for part in (id, "threshold, medium", f"{HOUR:%Y-%m-%d %H:%M}", "50", "chat", "pending"):
        assert part in shown
    wrong = radar(f"alerts snooze {id} soon")
    assert (wrong.code, "use e.g. 30m, 4h or 2d" in wrong.err) == (1, True)
    assert "radar alerts list" in radar("alerts ack nothing").err


def test_a_project_name_can_not_drive_the_terminal(radar: Radar, store: Store) -> None:
    fire(store, "[red]\x1b[31mshop")
    out = radar("alerts list").out
    assert "\x1b[31mshop" not in out
    assert "[red]\\x1b" in out


def test_messages_are_listed_retried_and_dropped(radar: Radar, store: Store) -> None:
    assert "No messages" in radar("deliveries").out
    fire(store)
    claim = outbox.claim(store, "chat", utc_now())
    assert claim
    outbox.failed(store, claim, "404: no such channel", utc_now(), is_permanent=True)
    id = claim.draft.id
    listed = radar("deliveries --state dead").out
    assert "404: no such channel" in listed
    assert radar(f"deliveries retry {id[:8]}").code == 0
    assert radar("deliveries --state dead").out == "No messages.\n"
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
