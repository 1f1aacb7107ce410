"""Health checks of real components, healthy and not: databases, folders, disks, and servers that fail in several ways."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import time_machine
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from pydantic import ValidationError

from radar_assets.object_store import ObjectPath
from radar_assets.operations.config import Health
from radar_assets.operations.health.components import check_components
from radar_assets.operations.health.probes import Found, Probe, Result, Unhealthy, run_probes
from radar_assets.operations.health.results import free_history, latest, record
from radar_assets.operations.health.storage import TEMPORARY, time_left
from radar_assets.operations.health.urls import WatchedUrl
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store
from radar_assets_tests.collector.test_limits import redis
from radar_assets_tests.messaging.channels.conftest import authority, resolver, trusted
from radar_assets_tests.messaging.channels.servers import Resolver, Server, hang, serving, status
from radar_assets_tests.object_server import BUCKET, ObjectServer
from radar_assets_tests.platform import Platform, remote_origin
from radar_assets_tests.processes import free_port
from radar_assets_tests.store.conftest import database_url, store

__all__ = ["authority", "database_url", "redis", "resolver", "store", "trusted"]

NOON = datetime(2026, 3, 10, 12)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(settings, instance)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def check(platform: Platform, *urls: WatchedUrl, **settings: object) -> dict[str, Result]:
    """The results by component, with some settings that differ from those of the platform."""
    changed = load_settings(home=platform.settings.home, **settings)
    found = check_components(changed, platform.lakehouse, platform.store, platform.instance, urls)
    return {result.component: result for result in found}


def test_all_components_of_a_new_home_are_healthy(platform: Platform) -> None:
    found = check(platform)
    assert [name for name in found if name.startswith("disk of ")] == ["disk of home, landing zone, warehouse"]
    assert {name for name in found if not name.startswith("disk of ")} == {
        *("database", "catalog", "landing zone", "warehouse", "daemon", "queue of runs", "queue of messages")
    }
    assert [result for result in found.values() if not result.ok] == []
    assert all(result.latency_ms >= 0 for result in found.values())
    assert not list(platform.settings.home.rglob(f"{TEMPORARY}*"))


def test_a_folder_that_can_not_be_written_is_unhealthy_and_others_are_not(platform: Platform) -> None:
    platform.settings.landing.rmdir()
    platform.settings.landing.write_text("a file")
    found = check(platform)
    assert "Not a directory" in found["landing zone"].detail
    assert [result.component for result in found.values() if not result.ok] == ["landing zone"]


def test_a_landing_zone_in_an_object_store_is_written_and_read(platform: Platform, object_server: ObjectServer) -> None:
    url = f"s3://{BUCKET}/landing"
    assert check(platform, landing_url=url)["landing zone"].ok
    assert not list(ObjectPath(url).objects()), "the check leaves nothing"


def test_a_disk_with_little_space_is_unhealthy(platform: Platform) -> None:
    found = check(platform, health_min_free_gb=1e9)["disk of home, landing zone, warehouse"]
    assert not found.ok
    assert found.detail.endswith("GB free, less than RADAR_HEALTH_MIN_FREE_GB=1e+09")
    assert (found.free_bytes or 0) > 0


def test_a_disk_that_is_full_within_a_day_at_its_pace_is_unhealthy(platform: Platform) -> None:
    component = "disk of home, landing zone, warehouse"
    free = check(platform)[component].free_bytes or 0
    now = datetime.now(UTC).replace(tzinfo=None)
    for hours in (4, 3, 2, 1):
        at = now - timedelta(hours=hours)
        record(platform.store, [Result(component, at, True, 1, "", round(free * (1 + hours / 10)))])
    found = check(platform)[component]
    assert not found.ok
    assert "full in about 10 hours at the present pace" in found.detail


@pytest.mark.parametrize(
    ("gigabytes", "hours"),
    [([100, 90, 80], 16), ([100, 100, 100], None), ([80, 90, 100], None), ([100], None), ([], None)],
)
def test_the_time_until_a_disk_is_full_follows_its_pace(gigabytes: list[int], hours: float | None) -> None:
    history = [(NOON + timedelta(hours=2 * at), value * 10**9) for at, value in enumerate(gigabytes)]
    assert time_left(history) == (None if hours is None else timedelta(hours=hours))
    assert time_left([(at, value) for at, value in history if at < NOON + timedelta(hours=1)]) is None, "too short"


def test_a_hanging_check_fails_in_time_and_delays_no_other() -> None:
    ended = threading.Event()

    def wait() -> Found:
        ended.wait()
        return Found()

    def fail() -> Found:
        raise OSError("postgresql://radar:s3cret@db.example/radar is down\nreally")

    def refuse() -> Found:
        raise Unhealthy("x" * 1000)

    try:
        found = run_probes([Probe("hangs", wait, 0.1), Probe("fails", fail), Probe("refuses", refuse)])
    finally:
        ended.set()
    assert [result.ok for result in found] == [False, False, False]
    assert found[0].detail == "no answer within 0.1 s"
    assert found[1].detail == "OSError: postgresql://***@db.example/radar is down really"
    assert len(found[2].detail) == 500


def test_redis_is_checked_if_it_is_configured(platform: Platform, redis: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = redis
    assert check(platform, redis_url=url)["Redis"].ok
    process.kill()
    process.wait()
    found = check(platform, redis_url=url.replace("redis://", "redis://:s3cret@"))["Redis"]
    assert not found.ok
    assert "s3cret" not in found.detail


def test_the_mail_server_is_checked_if_it_is_configured(platform: Platform) -> None:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    url = f"smtp://127.0.0.1:{controller.port}?starttls=no"
    controller.start()
    try:
        assert check(platform, smtp_url=url)["mail server"].ok
        without_tls = check(platform, smtp_url=url.partition("?")[0])["mail server"]
        assert "offers no STARTTLS" in without_tls.detail
    finally:
        controller.stop()
    found = check(platform, smtp_url=url)["mail server"]
    assert (found.ok, found.detail) == (False, f"Nothing listens on 127.0.0.1:{controller.port}; check RADAR_SMTP_URL")


def test_urls_must_answer_with_success_in_time(platform: Platform, server: Server) -> None:
    def found(timeout_s: float = 10) -> Result:
        watched = WatchedUrl(
            name="shop", url=f"http://127.0.0.1:{server.port}/healthz?token=s3cret", timeout_s=timeout_s
        )
        return check(platform, watched)["url shop"]

    assert found().ok
    server.answer(status(301, Location="https://elsewhere.example/"))
    assert "redirects are not followed" in found().detail
    server.answer(status(503))
    assert found().detail == "127.0.0.1 answered 503"
    server.answer(hang)
    assert "did not answer within 0.2 s" in found(0.2).detail


def context_until(authority: trustme.CA, expires: datetime, host: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, not_after=expires).configure_cert(context)
    return context


@pytest.mark.parametrize(("days", "is_ok"), [(40, True), (13, False), (-1, False)])
def test_certificates_that_expire_soon_are_unhealthy(
    platform: Platform, authority: trustme.CA, trusted: None, resolver: Resolver, days: int, is_ok: bool
) -> None:
    expires = datetime.now(UTC) + timedelta(days=days, minutes=5)
    with serving(context_until(authority, expires, "shop.example")) as server:
        resolver.add("shop.example", [("127.0.0.1", server.port)])
        found = check(platform, WatchedUrl(name="shop", url="https://shop.example/"))["certificate of shop.example"]
    assert found.ok == is_ok
    assert ("has expired" if days < 0 else f"expires on {expires:%Y-%m-%d}") in found.detail


def test_a_queue_that_waits_too_long_is_unhealthy(platform: Platform) -> None:
    with time_machine.travel(NOON.replace(tzinfo=UTC), tick=True) as clock:
        job = platform.defs.resolve_job_def("maintenance_job")
        waiting, origin = dg.DagsterRunStatus.QUEUED, remote_origin("maintenance_job")
        platform.instance.create_run_for_job(
            job, status=waiting, tags={"dagster/backfill": "b"}, remote_job_origin=origin
        )
        clock.shift(timedelta(hours=2))
        assert check(platform)["queue of runs"].ok, "backfills may wait"
        platform.instance.create_run_for_job(job, status=waiting, remote_job_origin=origin)
        assert check(platform)["queue of runs"].ok
        clock.shift(timedelta(hours=2))
        found = check(platform)["queue of runs"]
    assert (found.ok, found.detail.startswith("1 run waiting, ")) == (False, True)


def test_results_are_kept_for_a_week(store: Store) -> None:
    old, new = NOON - timedelta(days=8), NOON
    record(store, [Result("disk", old, True, 1.5, "", 10**13)])
    record(store, [Result("disk", new, False, 2.5, "full", 3), Result("database", new, True, 1, "")])
    assert [(result.component, result.ok) for result in latest(store)] == [("database", True), ("disk", False)]
    assert free_history(store, "disk", old - timedelta(days=1)) == [(new, 3)]
    assert free_history(store, "database", old) == []


@pytest.mark.parametrize(
    "url",
    [
        "shop.example",
        "ftp://shop.example/",
        "https://",
        "https://ann:s3cret@shop.example/",
        "https://a b/",
        "https://a:x/",
    ],
)
def test_unusable_urls_are_refused(url: str) -> None:
    with pytest.raises(ValidationError) as error:
        WatchedUrl(name="shop", url=url)
    assert "s3cret" not in str(error.value)


def test_names_of_urls_are_unique() -> None:
    shop = WatchedUrl(name="shop", url="https://shop.example/")
    with pytest.raises(ValidationError, match='"shop" occurs more than once'):
        Health(urls=(shop, shop))
