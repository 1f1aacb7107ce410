"""`radar serve`: the Dagster UI behind a guard against other web pages, until it is stopped."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import err
from radar_assets.cli.ui_address import local_url, recorded_ui
from radar_assets.errors import UsageError

Workspace = Annotated[Path | None, Parameter(name=("--workspace", "-w"))]


def serve(*, port: int = 3000, host: str = "127.0.0.1", workspace: Workspace = None) -> int:
    """Serve the UI. Unlike dagster-webserver, it refuses requests that other web pages make.

    It accepts requests to localhost, to the given host and to the host of RADAR_UI_URL. It has no login: anyone who can reach
    the port can start runs.

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
    load_settings().prepare()
    if workspace and not workspace.is_file():
        raise UsageError(f"{workspace}: no such workspace file")
    # The UI may start code servers at any moment. As its children they belong to the supervised group, and end with it.
    return run_services([ui_service(host, port, workspace)], os.environ, stop)


def serve_ui(*, port: int, host: str, workspace: Workspace = None) -> None:
    """Serve the UI from this process, which a supervisor runs."""
    from radar_assets.api import server
    from radar_assets.settings import load_settings

    settings, url = load_settings().prepare(), local_url(host, port)
    err().print(f"Serving the UI at {url}; Ctrl-C stops.", markup=False)
    with recorded_ui(settings, url):
        server.serve(settings, host, port, workspace)
