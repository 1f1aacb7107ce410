"""Changes of time zones in the store, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from radar_assets.access.projects import add_project
from radar_assets.access.time_zones import read_calendar, set_time_zone
from radar_assets.calendar import ALWAYS
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Project
from radar_assets_tests.patience import PATIENCE_S, eventually


def test_a_calendar_never_lacks_a_change_older_than_its_revision(postgres_url: str) -> None:
    with_change, release = threading.Event(), threading.Event()
    slow, store = open_store(postgres_url), open_store(postgres_url)
    add_project(store, Project(id="shop", name="Shop", timezone="UTC"))
    add_project(store, Project(id="blog", name="Blog", timezone="UTC"))

    def hold(connection: Any) -> None:
        with_change.set()
        release.wait(PATIENCE_S)

    event.listen(slow.engine, "commit", hold)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(set_time_zone, slow, "shop", "Asia/Tokyo")
        try:
            assert with_change.wait(PATIENCE_S)
            second = pool.submit(set_time_zone, store, "blog", "Europe/Berlin", date(2026, 3, 2))
            eventually(lambda: second.done() or _waits_for_a_lock(store))
            seen = read_calendar(store)
        finally:
            release.set()
        assert first.result() and second.result()
    assert read_calendar(store).changed_since(seen.revision) == ALWAYS
    slow.close()
    store.close()


def _waits_for_a_lock(store: Store) -> bool:
    with store.session(read_only=True) as session:
        return bool(session.scalar(sa.text("select count(*) from pg_locks where not granted")))


def test_changes_of_several_projects_make_one_calendar(store: Store) -> None:
    for project in ("shop", "blog", "club"):
        add_project(store, Project(id=project, name=project, timezone="UTC"))
    before = read_calendar(store)
    assert set_time_zone(store, "shop", "Asia/Kathmandu", date(2026, 3, 3))
    assert set_time_zone(store, "blog", "America/Havana", date(2026, 3, 2))
    assert set_time_zone(store, "shop", "UTC", date(2026, 3, 5))
    after = read_calendar(store)
    assert [each.zone for each in after.zones["shop"]] == ["UTC", "Asia/Kathmandu", "UTC"]
    assert [each.zone for each in after.zones["blog"]] == ["UTC", "America/Havana"]
    assert [each.zone for each in after.zones["club"]] == ["UTC"]
    assert after.changed_since(before.revision) == date(2026, 3, 2)
