"""`radar serve`: Radar's pages, its API and the Dagster UI behind a login, until it is stopped."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import err, radar_command
from radar_assets.cli.ui_address import local_url, login_link, recorded_ui
from radar_assets.errors import UsageError

if TYPE_CHECKING:
    from radar_assets.settings import Settings
    from radar_assets.store.database import Store

Workspace = Annotated[Path | None, Parameter(name=("--workspace", "-w"))]


def serve(*, port: int = 3000, host: str = "127.0.0.1", workspace: Workspace = None) -> int:
    """Serve the jobs page, the API and the Dagster UI behind a login, and print a link to log in once.

    It accepts requests to localhost, to the given host and to the host of RADAR_UI_URL, and none that pages of other sites make.

    Parameters
    ----------
    port
        Port to listen on.
    host
        Address to listen on; 0.0.0.0 for all addresses of this machine.
    workspace
        A workspace.yaml that names the code server to use. By default the UI starts its own.
    """
    from radar_assets.cli.dev import check_port
    from radar_assets.cli.foreground import run_services
    from radar_assets.cli.services import ui_service
    from radar_assets.settings import load_settings

    stop = StopSignals(handles_second=True)
    check_port(host, port)
    settings = load_settings().prepare()
    if workspace and not workspace.is_file():
        raise UsageError(f"{workspace}: no such workspace file")
    # The UI may start code servers at any moment. As its children they belong to the supervised group, and end with it.
    services, url = [ui_service(host, port, workspace)], local_url(host, port)
    return run_services(services, os.environ, stop, when_ready=lambda: _print_login(settings, url))


def _print_login(settings: "Settings", url: str) -> None:
    """Print how to log in while there are no users."""
    from radar_assets.access.users import list_users
    from radar_assets.store.database import open_store

    store = open_store(settings.database)
    try:
        has_users = bool(list_users(store))
    finally:
        store.close()
    if not has_users:
        console, link = err(), login_link(settings, settings.ui_url or url)
        console.print(
            f"There are no users yet; add one with {radar_command()} user add NAME --role admin.", markup=False
        )
        console.print(
            f"Until then, log in with this link, which works once, within 15 min: {link}", markup=False, soft_wrap=True
        )


def serve_ui(*, port: int, host: str, workspace: Workspace = None) -> None:
    """Serve the UI from this process, which a supervisor runs."""
    from radar_assets.api import server
    from radar_assets.api.alert_page import AlertPages
    from radar_assets.api.local_access import LocalAccess
    from radar_assets.config import load_metrics
    from radar_assets.metrics.registry import registry
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    settings, url = load_settings().prepare(), local_url(host, port)
    err().print(f"Serving the UI at {url}; Ctrl-C stops.", markup=False)
    local, lakehouse = LocalAccess(), open_lakehouse(settings)

    def alert_pages(store: "Store") -> AlertPages:
        # Metrics are read at each request, because radar apply may have changed them.
        return AlertPages(store, lakehouse, lambda: registry(load_metrics(settings.config_file)), settings)

    with recorded_ui(settings, url, local.token):
        server.serve(settings, host, port, workspace, local, alert_pages, settings, lakehouse)
