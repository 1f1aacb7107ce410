"""Serves Radar's pages, its API and the Dagster UI on one port, until the process is stopped. What belongs where is in `app.py`."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget, WorkspaceLoadTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__
from starlette.applications import Starlette

from radar_assets import tracing
from radar_assets.access.settings import LoginSettings
from radar_assets.api.accounts import Accounts
from radar_assets.api.alert_page import AlertPages, alert_routes
from radar_assets.api.app import RadarApp, ready_route
from radar_assets.api.audit_reads import audit_route
from radar_assets.api.guard import guarded
from radar_assets.api.identity import Identities
from radar_assets.api.jobs_page import jobs_routes
from radar_assets.api.local_access import LocalAccess
from radar_assets.api.login import login_routes
from radar_assets.api.oidc import OidcLogin
from radar_assets.api.openapi import openapi_route
from radar_assets.api.proxies import Behind, Proxied
from radar_assets.api.reload import reloading
from radar_assets.api.replays import replay_routes
from radar_assets.api.routing import RadarRoute
from radar_assets.api.triggers import trigger_routes
from radar_assets.api.workspace import RadarWorkspace
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.orchestration.runtime.instance import prepare_instance
from radar_assets.orchestration.settings import UISettings
from radar_assets.origins import origin_of_url
from radar_assets.store.database import Store, open_store

DRAIN_S = 5
"""Timeout for requests in progress when the UI is stopped."""


def serve(
    settings: UISettings,
    host: str,
    port: int,
    workspace: Path | None = None,
    local: LocalAccess | None = None,
    alerts: Callable[[Store], AlertPages] | None = None,
    login: LoginSettings | None = None,
    lakehouse: Lakehouse | None = None,
) -> None:
    """Serve Radar's pages, its API and the Dagster UI until SIGINT or SIGTERM.

    Args:
        local: access for commands on this machine.
        alerts: the pages of alerts, on the store.
        login: how people log in besides with a password.
        lakehouse: where replays find the hours with data. Without it, there are none.
        workspace: workspace file, as for `dagster-webserver -w`. By default this process starts a code server with Radar's
            definitions.

    Raises:
        SettingsError: the settings differ from the environment.
        StoreError: the database is not usable.
    """
    with loaded_workspace(settings, workspace) as loaded, closing(open_store(settings.database)) as store:
        pages = alert_routes(alerts(store)) if alerts else []
        app = radar_app(settings, loaded, store, local or LocalAccess(), pages, login, lakehouse)
        served = guarded(app, settings, host)
        tracing.name_trace_in_logs()
        server = uvicorn.Server(
            uvicorn.Config(
                tracing.TracedRequests(served) if tracing.is_on() else served,
                host=host,
                port=port,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        # uvicorn sets its own handlers while it runs and raises the signal again afterwards, which must not end the process.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: setattr(server, "should_exit", True))
        server.run()


def radar_app(
    settings: UISettings,
    workspace: RadarWorkspace,
    store: Store,
    local: LocalAccess,
    pages: Sequence[RadarRoute] = (),
    login: LoginSettings | None = None,
    lakehouse: Lakehouse | None = None,
) -> Behind:
    """The web application with all its routes, without the guard.

    Args:
        pages: the routes of further pages.
        login: as for `serve`.
        lakehouse: as for `serve`.
    """
    login = login or LoginSettings.load()
    public = [origin] if settings.ui_url and (origin := origin_of_url(settings.ui_url)) else []
    accounts = Accounts(store, local)
    proxied = Proxied(login, accounts.admit)
    identities = Identities(
        accounts.find_token,
        accounts.find_session,
        public=public,
        find_outside=proxied.find if login.ui_user_header else None,
    )
    replays = replay_routes(workspace, store, lakehouse) if lakehouse else []
    api = [*trigger_routes(workspace, store), *replays, audit_route(store)]
    routes = [
        *login_routes(identities, accounts, OidcLogin.of(login, settings.ui_url)),
        *jobs_routes(workspace),
        *api,
        openapi_route(api),
        ready_route(store),
        *pages,
    ]
    storage = workspace.instance.run_storage
    instance_id = storage.get_run_storage_id() if isinstance(storage, SqlRunStorage) else ""
    return proxied.around(RadarApp(dagster_ui(workspace), identities, accounts.record, routes, instance_id))


def dagster_ui(workspace: RadarWorkspace) -> Starlette:
    """The Dagster UI, without the gate and the guard."""
    return create_app_from_workspace_process_context(workspace, live_data_poll_rate=2000)


@contextmanager
def loaded_workspace(settings: UISettings, workspace: Path | None = None) -> Iterator[RadarWorkspace]:
    """The workspace of the UI, on the instance of the home.

    Args:
        workspace: as for `serve`.
    """
    target: WorkspaceLoadTarget = (
        WorkspaceFileTarget([str(workspace)])
        if workspace
        else ModuleTarget(
            "radar_assets.definitions", attribute=None, working_directory=str(Path.cwd()), location_name=None
        )
    )
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        with (
            RadarWorkspace(instance, target, version=__version__, code_server_log_level="WARNING") as context,
            reloading(settings, context),
        ):
            yield context
