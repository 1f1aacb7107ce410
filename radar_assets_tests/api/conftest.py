"""The UI of a small platform, served with and without the guard by one process, on one instance."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import uvicorn
import yaml
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from radar_assets.access.roles import Principal, Role
from radar_assets.api.alert_page import AlertPages, alert_routes
from radar_assets.api.app import RadarApp
from radar_assets.api.guard import guarded
from radar_assets.api.identity import SCOPE, Identity
from radar_assets.api.local_access import LocalAccess
from radar_assets.api.server import dagster_ui, loaded_workspace, radar_app
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.settings import load_settings
from radar_assets.store.database import Store, open_store
from radar_assets.tables import open_lakehouse
from radar_assets_tests.platform import instance_of
from radar_assets_tests.small_assets import small

PATIENCE_S = 60
PUBLIC = "https://radar.example"


@dataclass
class UI:
    """A running UI, the requests it received, the application if it is all of Radar, and the instance behind it."""

    instance: dg.DagsterInstance
    run_id: str
    port: int = 0
    arrived: list[str] = field(default_factory=list)
    app: RadarApp | None = None
    dagster_routes: list[BaseRoute] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, target: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Send a request as a program does. Returns status, headers in lower case, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower() for name, _ in response.getheaders()}
            values = {name: response.getheader(name, "") for name in names}  # those of one name joined
            return response.status, values, response.read().decode(errors="replace")
        finally:
            connection.close()

    def pools(self) -> set[str]:
        """The pools with a limit, which a mutation can set."""
        return {pool.name for pool in self.instance.event_log_storage.get_pool_limits()}

    def reported(self) -> set[str]:
        """The assets with reported events."""
        return {key.to_user_string() for key in self.instance.all_asset_keys()}

    def checked(self, check: str) -> bool:
        """Whether a check of the asset has a result."""
        key = dg.AssetCheckKey(small.key, check)
        return bool(self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1))


def workspace_of(folder: Path, module: str = "radar_assets_tests.small_assets") -> Path:
    """A workspace file with the definitions of a module."""
    file = folder / "workspace.yaml"
    file.write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}))
    return file


def as_admin(app: ASGIApp) -> ASGIApp:
    """An application whose requests are all an admin's."""
    identity = Identity(Principal("user", "1", "admin", Role.ADMIN), "token", "secret")

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, SCOPE: identity}, receive, send)

    return identified


@contextmanager
def listening(app: ASGIApp, ui: UI) -> Iterator[UI]:
    """Serve an application from a thread."""

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            ui.arrived.append(f"{scope['path']}?{scope['query_string'].decode()}")
        await app(scope, receive, send)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ui.port))
        ui.port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(recorded, log_level="critical", timeout_graceful_shutdown=1, proxy_headers=False)
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not server.started:
                assert thread.is_alive() and time.monotonic() < deadline
                time.sleep(0.01)
            yield ui
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def radar_serving(folder: Path, port: int = 0) -> Iterator[tuple[UI, Store]]:
    """The whole application, as `radar serve` builds it from the settings, and its store.

    Args:
        port: to listen on; any by default.
    """
    settings = load_settings().prepare()
    with ExitStack() as stack:
        instance = stack.enter_context(instance_of(settings))
        workspace = stack.enter_context(loaded_workspace(settings, workspace_of(folder)))
        store = stack.enter_context(closing(open_store(settings.database)))
        lakehouse = open_lakehouse(settings)
        pages = alert_routes(AlertPages(store, lakehouse, lambda: STANDARD_METRICS, settings))
        app = radar_app(settings, workspace, store, LocalAccess(), pages, settings, lakehouse)
        ui = UI(
            instance,
            "",
            port,
            app=app.app if isinstance(app.app, RadarApp) else None,
            dagster_routes=dagster_ui(workspace).routes,
        )
        yield stack.enter_context(listening(guarded(app, settings, "127.0.0.1"), ui)), store


@pytest.fixture(scope="module")
def uis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UI, UI]]:
    """The guarded UI, and the same one without the guard."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        environment.setenv("RADAR_UI_URL", PUBLIC)
        settings = load_settings().prepare()
        instance = stack.enter_context(instance_of(settings))
        run_id = dg.materialize([small], instance=instance).run_id
        workspace = stack.enter_context(loaded_workspace(settings, workspace_of(folder)))
        bare = as_admin(dagster_ui(workspace))
        yield (
            stack.enter_context(listening(guarded(bare, settings, "127.0.0.1"), UI(instance, run_id))),
            stack.enter_context(listening(bare, UI(instance, run_id))),
        )


@pytest.fixture
def ui(uis: tuple[UI, UI]) -> UI:
    """The guarded UI."""
    return uis[0]


@pytest.fixture
def bare_ui(uis: tuple[UI, UI]) -> UI:
    """The UI without the guard."""
    return uis[1]
