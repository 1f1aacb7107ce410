"""Keys, usage and salts in the store, on both databases and with several concurrent workers."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
import time_machine

from radar_assets.access.keys import (
    Grant,
    KeyRing,
    create_key,
    hash_key,
    list_keys,
    read_grants,
    revoke_key,
)
from radar_assets.access.limits import Limits, Usage
from radar_assets.access.projects import ensure_projects
from radar_assets.access.time_zones import set_time_zone
from radar_assets.collector.salts import Salts
from radar_assets.collector.worker import open_worker
from radar_assets.origins import Origin, parse_origin
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import DailySalt, FieldError, Project
from radar_assets.windows import Window, utc_now
from radar_assets_tests.patience import PATIENCE_S
from radar_assets_tests.store.conftest import database_url

__all__ = ["database_url"]

NOW = datetime(2026, 11, 30, 23, 59, 30)
WORKERS = 4


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store with two projects."""
    store = open_store(database_url)
    ensure_projects(store, [Project("shop"), Project("blog", events_per_second=5)])
    yield store
    store.close()


def test_a_key_gives_access_to_its_project_until_it_is_revoked(store: Store) -> None:
    write = create_key(store, "shop")
    read = create_key(store, "blog", "read", origins=["https://BLOG.example", "https://blog.example/"])
    assert read_grants(store) == {
        hash_key(write): Grant("shop", "write", frozenset(), None, None),
        hash_key(read): Grant("blog", "read", frozenset({Origin("https", "blog.example", 443)}), 5, None),
    }
    assert write != create_key(store, "shop")
    revoked = revoke_key(store, write)
    assert revoked.project_id == "shop"
    assert hash_key(write) not in read_grants(store)
    assert len(list_keys(store)) == 3
    with pytest.raises(FieldError, match="not the id of a valid key"):
        revoke_key(store, write)


def test_no_key_is_stored(store: Store) -> None:
    key = create_key(store, "shop")
    with store.session(read_only=True) as session:
        [row] = session.execute(sa.text("select * from api_keys")).all()
    assert key not in str(tuple(row))
    assert key.removeprefix("write_") not in str(tuple(row))


@pytest.mark.parametrize(
    ("origins", "problem"),
    [
        (
            ("shop.example", "ftp://shop.example", "https://", "https://a/b", "https://u@a", "null"),
            "is not a web origin",
        ),
        (
            ("https://a:", "https://a:0", "https://a:65536", "https://a:b", "https://[::g]", "https://a b"),
            "is not a web origin",
        ),
        (("*", "https://*", "https://*.shop.example", "https://shop.*:443"), "has a wildcard, which is not supported"),
        (("https://bücher.example",), "write its host in Punycode"),
    ],
)
def test_an_origin_that_browsers_never_send_is_refused(store: Store, origins: tuple[str, ...], problem: str) -> None:
    for origin in origins:
        with pytest.raises(FieldError, match=problem):
            create_key(store, "shop", origins=[origin])
    assert list_keys(store) == []


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Shop.example:443/", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:0443", "https://shop.example"),
        ("https://shop.example:80", "https://shop.example:80"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("HTTP://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_matches_in_every_spelling(store: Store, written: str, sent: str) -> None:
    create_key(store, "shop", origins=[written])
    [grant] = read_grants(store).values()
    assert [str(origin) for origin in grant.origins] == [sent]
    assert grant.admits(parse_origin(sent))
    assert grant.admits(parse_origin(written))
    assert not any(grant.admits(parse_origin(other)) for other in (f"{sent}.evil.example", f"{sent}1", "null", ""))
    assert not grant.admits(None)


def test_an_origin_that_was_stored_without_normalisation_matches_too(store: Store) -> None:
    create_key(store, "shop", origins=["https://shop.example"])
    with store.session() as session:
        session.execute(
            sa.text("""update api_keys set origins = '["https://shop.example:443", "https://*.a.example"]'""")
        )
    [grant] = read_grants(store).values()
    assert grant.admits(parse_origin("https://shop.example"))
    assert not grant.admits(parse_origin("https://b.a.example"))


def test_unknown_keys_share_one_read_of_the_store(store: Store) -> None:
    async def ask() -> tuple[float, list[Grant | None]]:
        ring = KeyRing(store)
        await ring.refresh()
        key = create_key(store, "shop")
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(ring.find(key, "write"), *(ring.find(f"none-{n}", "write") for n in range(200)))
        return asyncio.get_running_loop().time() - began, list(found)

    duration_s, found = asyncio.run(ask())
    assert found[0] is not None
    assert found[1:] == [None] * 200
    assert duration_s < 2


def test_usage_of_all_workers_is_added_up_and_restarts_each_month(store: Store) -> None:
    async def count() -> list[int]:
        workers = [Usage(store) for _ in range(WORKERS)]
        for number, worker in enumerate(workers):
            worker.add("shop", NOW, 10 + number)
            worker.add("shop", NOW + timedelta(minutes=1), 1)
        await asyncio.gather(*(worker.exchange() for worker in workers))
        await workers[0].exchange()
        return [workers[0].of("shop", NOW + timedelta(minutes=1)), workers[0].of("blog", NOW)]

    assert asyncio.run(count()) == [WORKERS, 0]
    with store.session(read_only=True) as session:
        rows = session.execute(sa.text("select month, events from monthly_usage order by month")).all()
    assert [(str(month), events) for month, events in rows] == [("2026-11-01", 46), ("2026-12-01", WORKERS)]


def test_usage_that_can_not_be_stored_is_stored_later(store: Store) -> None:
    async def count() -> None:
        usage = Usage(store)
        usage.add("nowhere", NOW, 3)
        await usage.exchange()
        ensure_projects(store, [Project("nowhere")])
        usage.add("nowhere", NOW, 4)
        await usage.exchange()
        assert usage.of("nowhere", NOW) == 7

    asyncio.run(count())


def test_refunded_usage_is_subtracted_even_if_it_was_stored_in_between(store: Store) -> None:
    async def count() -> list[int]:
        usage, other = Usage(store), Usage(store)
        usage.add("shop", NOW, 5)
        other.add("shop", NOW, 4)
        await usage.exchange()
        usage.add("shop", NOW, -5)
        await usage.exchange()
        await other.exchange()
        return [usage.of("shop", NOW), other.of("shop", NOW)]

    assert asyncio.run(count()) == [0, 4]


def test_usage_counts_while_it_is_being_stored(store: Store) -> None:
    async def look() -> set[int]:
        usage = Usage(store)
        usage.add("shop", NOW, 4)
        storing = asyncio.create_task(usage.exchange())
        seen = set[int]()
        while not storing.done():
            seen.add(usage.of("shop", NOW))
            await asyncio.sleep(0)
        return seen | {usage.of("shop", NOW)}

    assert asyncio.run(look()) == {4}


def test_a_new_worker_knows_the_usage_of_the_month(settings: Settings) -> None:
    limited, now = load_settings(events_per_month=10), utc_now()
    grant = Grant("shop", "write", frozenset(), None, None)

    async def start() -> int | None:
        async with open_worker(limited) as worker:
            return await worker.limits.retry_after_s(grant, 10, now)

    store = open_store(settings.database)
    ensure_projects(store, [Project("shop")])
    store.close()
    assert asyncio.run(start()) is None
    assert asyncio.run(start()) is not None


def test_keys_are_read_again_after_any_failure(store: Store) -> None:
    create_key(store, "shop")

    def write_origins(text: str) -> None:
        with store.session() as session:
            session.execute(sa.text(f"update api_keys set origins = '{text}'"))

    async def run() -> None:
        ring = KeyRing(store)
        write_origins("null")
        task = asyncio.create_task(ring.keep_fresh())
        async with asyncio.timeout(PATIENCE_S):
            while ring.failure != "keys can't be read (TypeError)":
                await asyncio.sleep(0.05)
            write_origins("[]")
            while ring.failure:
                await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(run())


def test_an_exceeded_quota_says_how_long_the_month_lasts(store: Store) -> None:
    async def wait() -> list[int | None]:
        limits = Limits(load_settings(events_per_month=10), store)
        grant = Grant("shop", "write", frozenset(), None, None)
        own = Grant("blog", "write", frozenset(), None, 20)
        return [
            await limits.retry_after_s(grant, 10, NOW),
            await limits.retry_after_s(grant, 1, NOW),
            await limits.retry_after_s(own, 20, NOW),
            await limits.retry_after_s(grant, 10, NOW + timedelta(seconds=30)),
        ]

    assert asyncio.run(wait()) == [None, 30, None, None]


def test_workers_share_one_salt_per_date_from_the_start_of_the_date_in_the_first_zone(store: Store) -> None:
    ensure_projects(store, [Project("first", timezone="Pacific/Kiritimati"), Project("last", timezone="Etc/GMT+12")])
    keys = {project: create_key(store, project) for project in ("first", "shop", "last")}
    at = utc_now()

    async def refresh() -> list[Salts]:
        ring = KeyRing(store)
        await ring.refresh()
        workers = [Salts(store, ring) for _ in range(WORKERS)]
        await asyncio.gather(*(worker.refresh() for worker in workers))
        return workers

    workers = asyncio.run(refresh())
    # A worker reads them again in ten minutes, or a day later if the store is unavailable.
    for ahead in (timedelta(), timedelta(days=1)):
        for key, offset in zip(keys.values(), (14, 0, -12), strict=True):
            assert len({worker.of(at + ahead, key) for worker in workers}) == 1
            found = workers[0].of(at + ahead, key)
            until = Window.of_day(at + ahead + timedelta(hours=offset)).end - timedelta(hours=offset)
            assert (len(found.today), found.until) == (32, until)
            assert (
                found.yesterday == workers[0].of(found.until - timedelta(days=1, seconds=1), key).today != found.today
            )


@pytest.mark.parametrize(
    ("timezone", "hours"), [("UTC", 24), ("Pacific/Honolulu", 34), ("Etc/GMT+12", 36), ("Pacific/Kiritimati", 12)]
)
def test_a_salt_is_deleted_once_it_is_over_everywhere_and_the_next_day_in_all_projects(
    store: Store, timezone: str, hours: int
) -> None:
    """`hours` after the end of the date in UTC."""
    for project in ("shop", "blog"):
        set_time_zone(store, project, timezone)
    end, salts = datetime(2026, 11, 30), Salts(store, KeyRing(store))

    def dates_at(at: datetime) -> set[date]:
        with time_machine.travel(at.replace(tzinfo=UTC), tick=False):
            asyncio.run(salts.refresh())
        with store.session(read_only=True) as session:
            return set(session.scalars(sa.select(DailySalt.day)))

    the_day = date(2026, 11, 29)
    # Made before the date begins at UTC+14.
    assert the_day in dates_at(datetime(2026, 11, 28, 9, 59))
    assert the_day in dates_at(end + timedelta(hours=hours, seconds=-1))
    assert the_day not in dates_at(end + timedelta(hours=hours))
