"""`/readyz` of `radar serve` agrees with the health check of the database, also while the database is gone or hangs."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from starlette.applications import Starlette

from radar_assets.api.app import ready_route
from radar_assets.operations.health.probes import Probe, run_probes
from radar_assets.operations.health.storage import check_database
from radar_assets.settings import Settings
from radar_assets.store.database import Store, open_store
from radar_assets_tests.api.conftest import UI, listening
from radar_assets_tests.messaging.channels.servers import hang, serving


@contextmanager
def served(store: Store) -> Iterator[UI]:
    """A server with the one route."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        listening(Starlette(routes=[ready_route(store)]), UI(instance, "")) as ui,
    ):
        yield ui


def ready(ui: UI) -> tuple[int, str]:
    status, _, text = ui.request("GET", "/readyz")
    return status, json.loads(text).get("detail", "")


def is_healthy(store: Store) -> bool:
    (found,) = run_probes([Probe("database", lambda: check_database(store))])
    return found.ok


def test_a_server_is_ready_while_its_database_is_healthy(settings: Settings) -> None:
    store = open_store(settings.database)
    with served(store) as ui:
        assert (ready(ui), is_healthy(store)) == ((200, ""), True)
        store.engine.dispose()
        file = Path(str(store.engine.url.database))
        shutil.move(file, file.with_suffix(".away"))
        file.mkdir()
        assert (ready(ui), is_healthy(store)) == ((503, "The database is unavailable."), False)
        file.rmdir()
        shutil.move(file.with_suffix(".away"), file)
        assert (ready(ui), is_healthy(store)) == ((200, ""), True)


def test_a_database_that_hangs_makes_a_server_unready_and_requests_share_the_check() -> None:
    with serving() as server:
        server.answer(hang)
        url = sa.URL.create("postgresql+psycopg2", "radar", "s3cret", "127.0.0.1", server.port, "radar")
        engine = sa.create_engine(url, connect_args={"connect_timeout": 60, "sslmode": "disable"})
        with served(Store(engine)) as ui, ThreadPoolExecutor(20) as requests:
            replies = list(requests.map(lambda _: ready(ui), range(20)))
        assert replies == [(503, "The database is unavailable.")] * 20
        assert 0 < server.connections < 20
