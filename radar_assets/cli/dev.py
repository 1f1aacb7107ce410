"""`radar dev`: the collector, and Dagster's UI and daemon on the instance of the Radar home, until it is interrupted."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

from radar_assets.cli.services import ui_commands
from radar_assets.cli.terminal import err

if TYPE_CHECKING:
    from radar_assets.settings import Settings

# That much of Dagster is called beta says nothing here.
QUIET = "ignore:Parameter `backfill_policy`"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SLOWEST_START_S = 180
LOOK_S = 0.2
FIRST_PROJECT = "default"


class PortTakenError(Exception):
    """Something else listens on the port that was asked for."""


def dev(*, port: int = 3000, host: str = "127.0.0.1", collector_port: int = 8000) -> int:
    """Run the collector, the UI, and the daemon, which loads what lands and rebuilds what is stale.

    Parameters
    ----------
    port
        Port of the UI.
    host
        Address that UI and collector listen on. The UI asks for no login, so whoever reaches it can start runs.
    collector_port
        Port of the collector.
    """
    from radar_assets.settings import load_settings

    check_port(host, port)
    check_port(host, collector_port, "--collector-port")
    settings = load_settings().prepare()
    collector = [sys.executable, "-c", "from radar_assets.cli import main; main()", "collect"]
    collector += ["--host", host, "--port", str(collector_port)]
    _make_first_key(settings, f"http://{_in_url(host)}:{collector_port}")
    return _run(host, port, [collector])


def run_ui(host: str, port: int, *, open_browser: bool = False) -> int:
    """Run Dagster's UI and daemon as a child until either ends; what the child exits with.

    Raises:
        PortTakenError: the port is in use, or the address is none of this machine.
    """
    check_port(host, port)
    return _run(host, port, [], open_browser=open_browser)


def _run(host: str, port: int, others: list[list[str]], *, open_browser: bool = False) -> int:
    """Run the UI and other commands as children until one of them ends; what that exits with."""
    from radar_assets.instance import prepare_instance
    from radar_assets.settings import load_settings

    home = prepare_instance(load_settings().prepare())
    url = f"http://{_in_url(host)}:{port}"
    console = err()
    if host not in LOOPBACK:
        console.print(f"The UI asks for no login: whoever reaches {host} can start runs.", style="yellow", markup=False)
    console.print(f"Starting the UI at {url} and the daemon; ctrl-c stops everything.", markup=False)

    children: list[subprocess.Popen[bytes]] = []
    told: set[subprocess.Popen[bytes]] = set()
    stopping = False

    def stop(_number: int | None = None, _frame: FrameType | None = None) -> None:
        nonlocal stopping
        stopping = stopping or _number is not None
        # Once each: by a second SIGINT, the collector would cut the requests under way.
        for child in set(children) - told:
            told.add(child)
            child.send_signal(signal.SIGINT)

    # A signal with a handler has its default action again in the child. One that is ignored, as SIGINT is in the
    # background of a script, would stay so, and Dagster takes SIGTERM for SIGINT: nothing could stop it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    environment = {"PYTHONWARNINGS": QUIET, **os.environ, "DAGSTER_HOME": str(home), "DAGSTER_IS_DEV_CLI": "1"}
    for command in [*ui_commands(host, port).values(), *others]:
        # In a process group of its own, for ctrl-c to reach it once, through the handler, and not from the terminal too.
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
        children.append(child)
    if stopping:
        stop()
    threading.Thread(target=_announce, args=(host, port, url, open_browser), daemon=True).start()
    while all(child.poll() is None for child in children):
        time.sleep(LOOK_S)
    codes = [child.returncode for child in children if child.returncode is not None]
    stop()
    for child in children:
        child.wait()
    return 0 if stopping else codes[0]


def _make_first_key(settings: "Settings", collector: str) -> None:
    """On a home without projects, make one with a key, and tell how to send a first event."""
    from radar_assets.collector.keys import create_key
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    store = open_store(settings.database)
    try:
        if store.projects():
            return
        store.add_project(Project(FIRST_PROJECT))
        key = create_key(store, FIRST_PROJECT)
    finally:
        store.close()
    event = '{"event": "signup", "anonymous_id": "visitor-1"}'
    print(
        f"There was no project yet. Now there is {FIRST_PROJECT}, with a write key that is not shown again. Send a first event:\n\n"
        f"curl {collector}/v1/events -H 'Authorization: Bearer {key}' -d '{event}'\n",
        file=sys.stderr,
    )


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Make sure that a server can listen there.

    Args:
        option: by which another port is chosen.

    Raises:
        PortTakenError: it can't.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise PortTakenError(
            f"can't listen on {host}:{port} ({error.strerror}); choose another with {option}"
        ) from error


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
