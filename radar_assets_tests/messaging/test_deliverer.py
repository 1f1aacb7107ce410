"""The deliverer against real endpoints: a channel that hangs, refuses or is broken delays no other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from radar_assets.messaging import outbox
from radar_assets.messaging.deliverer import deliver
from radar_assets.messaging.message import Draft
from radar_assets.store.database import Store
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import deliveries
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.messaging.sending import channels, put, send, sending
from radar_assets_tests.patience import eventually


def test_each_channel_gets_its_message_once(store: Store) -> None:
    with endpoint() as first, endpoint() as second:
        ids = put(store, "first", "1", "2", now=utc_now()) + put(store, "second", "1", now=utc_now())
        to = channels({"first": first.url, "second": second.url})
        assert deliver(store, to, send).count("sent") == 3
        assert sorted(first.ids + second.ids) == sorted(ids)
        assert deliver(store, to, send).attempts == []
    assert {row.state for row in deliveries(store)} == {"delivered"}


def test_a_hanging_and_a_dead_channel_delay_neither_others_nor_the_next_pass(store: Store) -> None:
    with endpoint(is_hanging=True) as hanging, endpoint() as good, ThreadPoolExecutor() as pool:
        to = channels({"hanging": hanging.url, "dead": "http://127.0.0.1:9/", "good": good.url})
        for channel in to:
            put(store, channel, "1", "2", "3", now=utc_now())
        send_patiently = sending(timeout_s=120)
        first_pass = pool.submit(deliver, store, to, send_patiently)
        eventually(lambda: len(good.ids) == 3 and hanging.ids)
        put(store, "good", "4", now=utc_now())
        next_pass = pool.submit(deliver, store, to, send_patiently)
        eventually(lambda: len(good.ids) == 4 and len(hanging.ids) == 2)
        assert not first_pass.done()
        hanging.is_hanging = False
        next_pass.result()
        done = first_pass.result()
        assert [attempt.channel for attempt in done.attempts][-1] == "hanging"
        assert {(attempt.channel, attempt.outcome) for attempt in done.attempts} == {
            ("hanging", "failed"),
            ("dead", "failed"),
            ("good", "sent"),
        }
        later = utc_now() + timedelta(minutes=5)
        done = deliver(store, to, send, clock=lambda: later)
        assert [attempt.channel for attempt in done.attempts if attempt.outcome == "sent"] == ["hanging"] * 3
    ids = hanging.ids
    assert len(ids) > len(set(ids)) == 3


def test_temporary_and_permanent_failures_are_handled_differently(store: Store) -> None:
    with endpoint(answers=[(429, "600"), (200, None)]) as busy, endpoint(answers=[(451, None)]) as refusing:
        to = channels({"busy": busy.url, "refusing": refusing.url})
        put(store, "busy", "1", "2", now=utc_now())
        put(store, "refusing", "1", now=utc_now())
        done = deliver(store, to, send)
        assert {(attempt.channel, attempt.outcome) for attempt in done.attempts} == {
            ("busy", "failed"),
            ("refusing", "dead"),
        }
        assert deliver(store, to, send).attempts == []
        assert len(busy.ids) == 1
        later = utc_now() + timedelta(seconds=601)
        assert deliver(store, to, send, clock=lambda: later).count("sent") == 2
    assert {row.error for row in deliveries(store) if row.state == "dead"} != {None}


def test_an_internal_error_is_retried_and_recorded_without_its_text(store: Store) -> None:
    put(store, "hook", "1", now=utc_now())

    def broken(_channel: object, _draft: Draft) -> None:
        raise RuntimeError("https://hooks.example/very-secret")

    (attempt,) = deliver(store, {"hook": None}, broken).attempts
    assert (attempt.outcome, "secret" in attempt.error, "RuntimeError" in attempt.error) == ("failed", False, True)
    (row,) = deliveries(store)
    assert (row.state, row.error) == ("pending", attempt.error)


def test_a_message_that_arrives_after_its_pass_is_recorded(store: Store) -> None:
    put(store, "hook", "1", now=utc_now())
    is_answered = threading.Event()

    def send_slowly(*_: object) -> None:
        is_answered.wait(60)

    # Again if the machine stalls for so long that the pass ends before it starts.
    done = eventually(lambda: deliver(store, {"hook": None}, send_slowly, limit=timedelta(seconds=2)).attempts)
    assert [attempt.outcome for attempt in done] == ["failed"]
    assert outbox.due_rows(store, utc_now()) == []
    is_answered.set()
    assert eventually(lambda: [row.state for row in deliveries(store)] == ["delivered"])
