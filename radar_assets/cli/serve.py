"""`radar serve`: the Dagster UI behind a guard against other web pages, until it is interrupted."""

import os
import signal
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from radar_assets.cli.terminal import err
from radar_assets.cli.ui_address import local_url, recorded_ui


def serve(
    *,
    port: int = 3000,
    host: str = "127.0.0.1",
    workspace: Annotated[Path | None, Parameter(name=("--workspace", "-w"))] = None,
) -> None:
    """Serve the UI. Unlike dagster-webserver, it refuses requests that other web pages make.

    It answers to localhost, to the given host and to the host of RADAR_UI_URL. It asks for no login, so anyone who can reach
    the port can start runs.

    Parameters
    ----------
    port
        Port to listen on.
    host
        Address to listen on; 0.0.0.0 is every address of this machine.
    workspace
        A workspace.yaml that names the code server to use. By default the UI starts its own.
    """
    from radar_assets.cli.dev import check_port
    from radar_assets.settings import load_settings

    check_port(host, port)
    # Until the server listens to signals, nothing is under way and the process may end where it is. An exception from a
    # handler would be lost if it came in a destructor.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: os._exit(0))
    settings = load_settings().prepare()
    if workspace and not workspace.is_file():
        raise FileNotFoundError(f"{workspace}: no such workspace file")
    from radar_assets.api import server

    url = local_url(host, port)
    err().print(f"Serving the UI at {url}; ctrl-c stops.", markup=False)
    with recorded_ui(settings, url):
        server.serve(settings, host, port, workspace)
