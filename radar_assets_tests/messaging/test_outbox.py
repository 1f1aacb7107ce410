"""The outbox: who may send what, and what happens when it fails."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from radar_assets.messaging import outbox
from radar_assets.store.database import Store
from radar_assets.store.models import Delivery, FieldError
from radar_assets_tests.alerts.records import at, deliveries
from radar_assets_tests.messaging.sending import put

NOON = at(12)
SECOND = timedelta(seconds=1)


def test_a_row_is_claimed_once_and_again_under_the_same_id_when_its_lease_expires(store: Store) -> None:
    (id,) = put(store, "hook", "1", now=NOON)
    first = outbox.claim(store, "hook", NOON, timedelta(seconds=60))
    assert first and (first.draft.id, first.attempt) == (id, 1)
    assert outbox.claim(store, "hook", NOON + 59 * SECOND) is None
    assert outbox.due_rows(store, NOON + 59 * SECOND) == []
    second = outbox.claim(store, "hook", NOON + 60 * SECOND)
    assert second and (second.draft, second.attempt) == (first.draft, 2)
    assert not outbox.failed(store, first, "too late to say", NOON)
    assert deliveries(store)[0].leased_by == second.lease
    outbox.delivered(store, first, NOON)
    assert deliveries(store)[0].state == "delivered"


def test_retries_back_off_with_jitter_and_end_after_a_day_and_a_half(store: Store) -> None:
    put(store, "hook", "1", now=NOON)
    now, pauses = NOON, []
    while claim := outbox.claim(store, "hook", now):
        is_dead = outbox.failed(store, claim, "refused", now)
        (row,) = deliveries(store)
        if is_dead:
            break
        pauses.append((row.next_attempt_at - now).total_seconds())
        now = row.next_attempt_at
    assert (row.state, row.error) == ("dead", "refused")
    assert 10 <= pauses[0] <= 20 < pauses[4] <= 320
    assert max(pauses) <= 3600
    assert len({pause / max(pauses) for pause in pauses[-10:]}) == 10
    assert timedelta(hours=34) < now - NOON <= outbox.GIVE_UP_AFTER
    assert row.attempts < outbox.MAX_ATTEMPTS


def test_retry_after_holds_up_the_whole_channel(store: Store) -> None:
    put(store, "hook", "1", "2", now=NOON)
    put(store, "other", "1", now=NOON)
    claim = outbox.claim(store, "hook", NOON)
    assert claim
    outbox.failed(store, claim, "too many requests", NOON, retry_after=timedelta(minutes=10))
    assert outbox.due_channels(store, NOON + timedelta(minutes=9)) == ["other"]
    assert len(outbox.due_rows(store, NOON + timedelta(minutes=10))) == 3


def test_a_permanent_failure_is_dead_at_once_and_can_be_retried_by_hand(store: Store) -> None:
    (id,) = put(store, "hook", "1", now=NOON)
    claim = outbox.claim(store, "hook", NOON)
    assert claim and outbox.failed(store, claim, "no such address", NOON, is_permanent=True)
    assert outbox.claim(store, "hook", NOON + timedelta(days=1)) is None
    assert [row.id for row in outbox.latest(store, ["dead"])] == [id]
    outbox.retry(store, id[:8], NOON)
    again = outbox.claim(store, "hook", NOON)
    assert again and again.draft.id == id
    with pytest.raises(FieldError, match="is pending"):
        outbox.retry(store, id, NOON)
    with pytest.raises(FieldError, match="is unknown"):
        outbox.retry(store, "nothing", NOON)


def test_a_dead_message_can_be_dropped_by_hand(store: Store) -> None:
    (id,) = put(store, "hook", "1", now=NOON)
    claim = outbox.claim(store, "hook", NOON)
    assert claim and outbox.failed(store, claim, "no such address", NOON, is_permanent=True)
    assert (outbox.drop(store, id).state, outbox.latest(store, ["dead"])) == ("dropped", [])


def test_a_message_that_kills_its_process_every_time_is_given_up(store: Store) -> None:
    put(store, "hook", "1", now=NOON)
    put(store, "hook", "2", now=NOON + SECOND)
    now = NOON + SECOND
    while claim := outbox.claim(store, "hook", now):
        if claim.draft.contents[0]["alert_id"] == "2":
            outbox.delivered(store, claim, now)
            assert claim.attempt == 1
        now += timedelta(minutes=3)
    assert [row.state for row in deliveries(store)] == ["dead", "delivered"]


def test_many_waiting_messages_are_merged_except_those_already_tried(store: Store) -> None:
    (tried,) = put(store, "hook", "0", now=NOON - SECOND)
    claim = outbox.claim(store, "hook", NOON - SECOND)
    assert claim
    outbox.failed(store, claim, "refused", NOON - SECOND)
    put(store, "hook", *"123456", now=NOON)
    together = outbox.claim(store, "hook", NOON)
    assert together and len(together.draft.contents) == 6
    rows = {row.id: row for row in deliveries(store)}
    assert [row.state for row in rows.values()].count("dropped") == 6
    assert (rows[tried].state, rows[together.draft.id].leased_by) == ("pending", together.lease)
    again = outbox.claim(store, "hook", NOON + outbox.LEASE)
    assert again and again.draft.id == tried
    last = outbox.claim(store, "hook", NOON + outbox.LEASE)
    assert last and last.draft == together.draft
    assert outbox.claim(store, "hook", NOON + outbox.LEASE) is None


def test_a_digest_holds_messages_of_one_kind(store: Store) -> None:
    put(store, "hook", *"1234567", now=NOON)
    with store.session() as session:
        last = session.scalars(sa.select(Delivery).where(Delivery.thread_id == "alert-7")).one()
        last.kind, last.priority = "report", "critical"
    digest = outbox.claim(store, "hook", NOON)
    single = outbox.claim(store, "hook", NOON)
    if digest and digest.draft.kind == "report":
        digest, single = single, digest
    assert digest and (digest.draft.kind, len(digest.draft.contents)) == ("alert", 6)
    assert single and (single.draft.kind, len(single.draft.contents)) == ("report", 1)
    assert {row.priority for row in deliveries(store) if row.id == digest.draft.id} == {"high"}


def test_five_waiting_messages_are_sent_one_by_one_in_order(store: Store) -> None:
    ids = put(store, "hook", "1", now=NOON) + put(store, "hook", *"2345", now=NOON + SECOND)
    taken = [claim.draft.id for _ in range(5) if (claim := outbox.claim(store, "hook", NOON + SECOND))]
    assert taken[0] == ids[0]
    assert sorted(taken) == sorted(ids)


def test_messages_of_a_thread_are_sent_in_order(store: Store) -> None:
    put(store, "hook", "1", now=NOON)
    beginning = outbox.claim(store, "hook", NOON)
    put(store, "hook", "1", now=NOON + SECOND, reason="recovered")
    put(store, "hook", "2", now=NOON + 2 * SECOND)
    assert beginning
    outbox.failed(store, beginning, "refused", NOON + SECOND)
    other = outbox.claim(store, "hook", NOON + 3 * SECOND)
    assert other and other.draft.contents[0]["alert_id"] == "2"
    assert outbox.claim(store, "hook", NOON + 3 * SECOND) is None
    outbox.delivered(store, beginning, NOON + 4 * SECOND)
    end = outbox.claim(store, "hook", NOON + 4 * SECOND)
    assert end and end.draft.contents[0]["reason"] == "recovered"


def test_the_number_of_messages_in_flight_is_limited(store: Store) -> None:
    for index in range(outbox.MAX_IN_FLIGHT + 1):
        put(store, f"hook-{index}", "1", now=NOON)
    claims = [outbox.claim(store, f"hook-{index}", NOON) for index in range(outbox.MAX_IN_FLIGHT + 1)]
    assert sum(claim is not None for claim in claims) == outbox.MAX_IN_FLIGHT
    assert claims[0]
    outbox.delivered(store, claims[0], NOON)
    assert outbox.claim(store, f"hook-{outbox.MAX_IN_FLIGHT}", NOON)


def test_messages_of_a_removed_channel_are_dropped(store: Store) -> None:
    put(store, "gone", "1", now=NOON)
    put(store, "hook", "1", now=NOON)
    assert outbox.drop_without_channel(store, ["hook"]) == 1
    assert {row.channel: row.state for row in deliveries(store)} == {"gone": "dropped", "hook": "pending"}


def test_finished_rows_are_removed_and_waiting_ones_stay(store: Store) -> None:
    put(store, "hook", "arrived", now=NOON)
    claim = outbox.claim(store, "hook", NOON)
    assert claim
    outbox.delivered(store, claim, NOON)
    put(store, "hook", "waits", now=NOON)
    assert outbox.remove_old(store, NOON) == 0
    assert outbox.remove_old(store, NOON + SECOND) == 1
    assert [row.state for row in deliveries(store)] == ["pending"]
