"""Signed links of messages: what they allow, for how long, and where they are shown."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from itsdangerous import URLSafeTimedSerializer

from radar_assets.alerts.links import LinkError, Links, is_pending, links_of, read_link, take
from radar_assets.alerts.rendering import render
from radar_assets.messaging.channels.email import html
from radar_assets.messaging.chat.markup import MAX_CHARACTERS, SLACK, fitting
from radar_assets.messaging.message import Draft, Message
from radar_assets.messaging.plain_text import plain_text
from radar_assets.store.database import Store
from radar_assets_tests.alerts.records import alerts, at, note, rule
from radar_assets_tests.messaging.channels.servers import KIND, NOON, notice

UI = "https://radar.example"
ALERT = notice().alert_id


def token(links: Links, action: str = "ack", channel: str = "team") -> str:
    return links.signed(ALERT, action, channel).rpartition("/")[2]  # pyright: ignore[reportArgumentType]


def message(**fields: object) -> Message:
    content = notice(**fields).model_dump(mode="json")
    return render(Draft("4f6c", KIND, [content], NOON, "team"), links=Links(UI, "key"))


def test_without_the_address_of_the_ui_there_are_no_links(tmp_path: Path) -> None:
    assert links_of(None, tmp_path) is None
    assert not list(tmp_path.iterdir())
    content = notice().model_dump(mode="json")
    assert "Acknowledge:" not in plain_text(render(Draft("4f6c", KIND, [content], NOON, "team")))


def test_a_link_allows_one_action_on_one_alert() -> None:
    links = Links(UI, "key")
    grant = read_link("key", token(links, "snooze", "on-call"))
    assert (grant.alert_id, grant.action, grant.channel) == (ALERT, "snooze", "on-call")


def test_a_link_that_was_changed_or_signed_by_another_key_is_refused() -> None:
    links = Links(UI, "key")
    good, other = token(links), token(links, "snooze")
    forged = [
        # Not the last character, of which not all bits count.
        good[:-9] + ("A" if good[-9] != "A" else "B") + good[-8:],
        other.split(".")[0] + "." + good.split(".", 1)[1],
        token(Links(UI, "another key")),
        URLSafeTimedSerializer("key").dumps([ALERT, "ack", "team"]),  # signed for another purpose
        "",
        "x" * 5000,
        "ä.b.c",
    ]
    for text in forged:
        with pytest.raises(LinkError, match="invalid"):
            read_link("key", text)


def test_content_of_an_unknown_form_is_refused() -> None:
    serializer = URLSafeTimedSerializer("key", salt="radar.alerts.links")
    for content in ([ALERT, "delete", "team"], [1, "ack", "team"], {}, None):
        with pytest.raises(LinkError, match="invalid"):
            read_link("key", serializer.dumps(content))


def test_a_link_expires() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        signed = token(Links(UI, "key"))
        clock.shift(timedelta(days=7))
        read_link("key", signed)
        clock.shift(timedelta(seconds=1))
        with pytest.raises(LinkError, match="expired"):
            read_link("key", signed)


def test_messages_have_links_to_act_on_a_firing_alert() -> None:
    fired = message()
    text = plain_text(fired)
    found = [line.partition(": ") for line in text.splitlines() if f"{UI}/radar/alerts/" in line]
    assert [name for name, _, _ in found] == ["Acknowledge", "Snooze for 4 h", "Details"]
    for (_, _, url), action in zip(found[:2], ("ack", "snooze"), strict=True):
        assert read_link("key", url.rpartition("/")[2]).action == action
        assert url in html("team", fired)
    assert fitting(SLACK, fired).count(f"<{UI}/radar/alerts/") == 3
    assert len(fitting(SLACK, fired)) < MAX_CHARACTERS


def test_an_alert_that_is_over_has_only_its_page() -> None:
    text = plain_text(message(reason="recovered", ended_at=notice().window_end))
    assert f"Details: {UI}/radar/alerts/{ALERT}" in text
    assert "/link/" not in text
    assert UI + "/radar" not in plain_text(message(reason="test"))


def test_an_action_is_taken_once(store: Store) -> None:
    note(store, rule(), {8: 50}, at(9))
    (alert,) = alerts(store)
    assert is_pending(alert, "ack", at(9))
    assert take(store, alert.id, "ack", "a link sent to team", at(9.5)).is_changed
    again = take(store, alert.id, "ack", "ada", at(9.6))
    assert not again.is_changed
    assert (again.alert.acknowledged_by, again.alert.acknowledged_at) == ("a link sent to team", at(9.5))
    assert take(store, alert.id, "snooze", "ada", at(10)).is_changed
    # A second click doesn't prolong it.
    assert not take(store, alert.id, "snooze", "ada", at(11)).is_changed
    assert alerts(store)[0].snoozed_until == at(14)


def test_nothing_is_done_about_an_alert_that_has_ended(store: Store) -> None:
    note(store, rule(), {8: 50, 9: 1}, at(10))
    (alert,) = alerts(store)
    for action in ("ack", "snooze"):
        assert not is_pending(alert, action, at(10))
        assert not take(store, alert.id, action, "ada", at(10)).is_changed
    (alert,) = alerts(store)
    assert (alert.acknowledged_at, alert.snoozed_until) == (None, None)


def test_concurrent_clicks_acknowledge_once(store: Store) -> None:
    note(store, rule(), {8: 50}, at(9))
    (alert,) = alerts(store)
    start, changed = threading.Barrier(6), []

    def click(number: int) -> None:
        start.wait()
        changed.append(take(store, alert.id, "ack", f"person {number}", at(9.5)).is_changed)

    threads = [threading.Thread(target=click, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert changed.count(True) == 1
