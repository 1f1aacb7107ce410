"""`radar dev`: Dagster's UI and daemon on the instance of the Radar home, until it is interrupted."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from radar_assets.cli.terminal import err

# That much of Dagster is called beta, and `dagster dev` superseded by a command for developers of graphs, says nothing here.
QUIET = "ignore:Function `dev_command`,ignore:Parameter `backfill_policy`"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SLOWEST_START_S = 180


class PortTakenError(Exception):
    """Something else listens on the port that was asked for."""


def dev(*, port: int = 3000, host: str = "127.0.0.1") -> int:
    """Run the UI and the daemon, which loads what lands and rebuilds what is stale.

    Parameters
    ----------
    port
        Port of the UI.
    host
        Address that the UI listens on. It asks for no login, so whoever reaches it can start runs.
    """
    return run_ui(host, port)


def run_ui(host: str, port: int, *, open_browser: bool = False) -> int:
    """Run Dagster's UI and daemon as a child until either ends; what the child exits with.

    Raises:
        PortTakenError: the port is in use, or the address is none of this machine.
    """
    from radar_assets.instance import prepare_instance
    from radar_assets.settings import load_settings

    check_port(host, port)
    home = prepare_instance(load_settings().prepare())
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    console = err()
    if host not in LOOPBACK:
        console.print(f"The UI asks for no login: whoever reaches {host} can start runs.", style="yellow", markup=False)
    console.print(f"Starting the UI at {url} and the daemon; ctrl-c stops both.", markup=False)

    child: subprocess.Popen[bytes] | None = None
    stopping = False

    def forward(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child:
            child.send_signal(signal.SIGINT)

    # A signal with a handler has its default action again in the child. One that is ignored, as SIGINT is in the
    # background of a script, would stay so, and Dagster takes SIGTERM for SIGINT: nothing could stop it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "radar_assets.definitions", "-h", host, "-p", str(port)]
    environment = {"PYTHONWARNINGS": QUIET, **os.environ, "DAGSTER_HOME": str(home)}
    # In a process group of its own, for ctrl-c to reach it once, through the handler, and not from the terminal too.
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    if stopping:
        child.send_signal(signal.SIGINT)
    threading.Thread(target=_announce, args=(host, port, url, open_browser), daemon=True).start()
    code = child.wait()
    return 0 if stopping else code


def check_port(host: str, port: int) -> None:
    """Make sure that a server can listen there.

    Raises:
        PortTakenError: it can't.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise PortTakenError(f"can't listen on {host}:{port} ({error.strerror}); choose another with --port") from error


def _announce(host: str, port: int, url: str, open_browser: bool) -> None:
    """Tell when the UI answers, and show it."""
    for _ in range(SLOWEST_START_S):
        time.sleep(1)
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            continue
        err().print(f"The UI is at {url}", style="bold green", markup=False)
        if open_browser:
            import webbrowser

            webbrowser.open(url)
        return
