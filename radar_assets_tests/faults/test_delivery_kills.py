"""A deliverer that is killed at any moment loses no message; a message that was being sent may arrive twice, with the same id."""

import random
import time
from collections import Counter
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from radar_assets.messaging import outbox
from radar_assets.messaging.deliverer import deliver
from radar_assets.store.database import open_store
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import deliveries
from radar_assets_tests.faults import workers
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.messaging.sending import channels, put, send

CHANNELS = 3
LEASE = timedelta(seconds=1)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--deliverer-kills") or 1)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgres_url")


def test_no_message_is_lost_and_extra_copies_have_the_same_id(database_url: str, kills: int) -> None:
    store, forks, dice = open_store(database_url), workers.context(), random.Random(1)
    died, sent, cut = 0, list[str](), set[str]()
    with endpoint(delay_s=0.05) as receiver:
        urls = {f"hook-{index}": receiver.url for index in range(CHANNELS)}
        for kill in range(kills):
            for channel in urls:
                for index in range(4):
                    sent += put(store, channel, f"{kill}{index}", now=utc_now())
            ready = forks.Event()
            process = forks.Process(target=_deliver, args=(database_url, urls, ready))
            process.start()
            assert ready.wait(120)
            began, before = time.monotonic(), len(receiver.received)
            while len(receiver.received) == before and time.monotonic() < began + 30:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.2))
            process.kill()
            process.join()
            died += process.exitcode == -9
            # Messages without a recorded result, which may or may not have arrived.
            cut |= {row.leased_by for row in deliveries(store) if row.leased_by}
        deadline = time.monotonic() + 120
        while outbox.latest(store, ["pending"]) and time.monotonic() < deadline:
            deliver(store, channels(urls), send, lease=LEASE)
            time.sleep(0.2)
        copies = Counter(receiver.ids)
    assert died >= kills / 2
    rows = {row.id: row for row in deliveries(store)}
    announced = {row.id: {(row.channel, str(notice["alert_id"])) for notice in row.contents} for row in rows.values()}
    # Waiting messages were merged into digests; every announcement is in one that arrived.
    arrived = set().union(*(announced[id] for id in copies))
    assert arrived == set().union(*(announced[id] for id in sent))
    assert {row.state for row in rows.values()} <= {"delivered", "dropped"}
    assert all(rows[id].state == "delivered" for id in copies), "what was merged was never sent by itself"
    extra = sum(copies.values()) - len(copies)
    print(f"{died} kills, {len(copies)} messages, {extra} extra copies, {len(cut)} on their way when killed")
    assert extra <= len(cut)
    store.close()


def _deliver(url: str, urls: dict[str, str], ready: Event) -> None:
    store = open_store(url)
    to = channels(urls)
    ready.set()
    while True:
        deliver(store, to, send, lease=LEASE)
        time.sleep(0.02)
