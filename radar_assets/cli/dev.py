"""`radar dev`: the collector, and Dagster's UI and daemon on the instance of the Radar home, until it is stopped.

How the services are run and stopped is in `foreground.py`.
"""

import os
import shlex
import socket
import webbrowser
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from radar_assets.cli.auditing import audit
from radar_assets.cli.signals import StopSignals
from radar_assets.cli.terminal import err, printable, radar_command
from radar_assets.cli.ui_address import local_url, login_link

if TYPE_CHECKING:
    from rich.console import Console

    from radar_assets.cli.supervisor import Service
    from radar_assets.settings import Settings

QUIET = "ignore:Parameter `backfill_policy`"
"""Users can't act on Dagster's warning that a parameter is in beta."""
FIRST_PROJECT = "default"
MAX_NAMED = 3
"""How many projects the panel names, or one more if that is all."""


class PortTakenError(Exception):
    """Another process listens on the requested port."""


def dev(*, port: int = 3000, host: str = "127.0.0.1", collector_port: int = 8000, verbose: bool = False) -> int:
    """Run the collector, the UI, and the daemon, which loads new events and rebuilds stale tables.

    Parameters
    ----------
    port
        Port of the UI.
    host
        Address that UI and collector listen on.
    collector_port
        Port of the collector.
    verbose
        Print all logs here instead of writing them to the folder logs in the home.
    """
    from radar_assets.cli.services import collector_service
    from radar_assets.settings import load_settings

    check_port(host, port)
    check_port(host, collector_port, "--collector-port")
    settings, collector = load_settings().prepare(), local_url(host, collector_port)
    services = [collector_service(host, collector_port)]
    return _run(settings, host, port, services, lambda: _first_event(settings, collector), verbose=verbose)


def run_ui(host: str, port: int) -> int:
    """Run Dagster's UI and daemon until they are stopped, and open the UI in the browser. Returns the exit code.

    Raises:
        PortTakenError: the port is in use, or this machine does not have the address.
    """
    from radar_assets.settings import load_settings

    def show() -> Panel:
        webbrowser.open(login_link(settings, local_url(host, port)))
        return Panel([], [])

    check_port(host, port)
    settings = load_settings().prepare()
    return _run(settings, host, port, [], show)


class Panel(NamedTuple):
    """The text to show once everything runs: labelled facts, and lines with the next step."""

    facts: list[tuple[str, str]]
    next: list[str]


def _run(
    settings: "Settings",
    host: str,
    port: int,
    services: "Sequence[Service]",
    make_panel: Callable[[], Panel],
    *,
    verbose: bool = False,
) -> int:
    """Run Dagster's UI and daemon and further services until a signal arrives or one of them ends. Returns the exit code.

    Args:
        host, port: address of the UI.
        make_panel: is called once all services are ready.
    """
    from radar_assets.cli.foreground import run_services
    from radar_assets.cli.happenings import Happenings
    from radar_assets.cli.services import dagster_services, services_folder
    from radar_assets.orchestration.runtime.instance import prepare_instance

    stop, console = StopSignals(handles_second=True), err()
    console.print("Starting; this takes some seconds ...")
    # Without this variable, the launcher does not fork runs of a code server that another process has started.
    environment = {"PYTHONWARNINGS": QUIET, **os.environ, "DAGSTER_IS_DEV_CLI": "1"}
    environment["DAGSTER_HOME"] = str(prepare_instance(settings))
    # Messages link to this UI, unless the settings name the address that people use.
    if settings.ui_url is None:
        environment["RADAR_UI_URL"] = local_url(host, port)
    logs = None if verbose else settings.home / "logs"

    def show() -> None:
        panel = make_panel()
        url = local_url(host, port)
        logins = [
            ("Log in", login_link(settings, url)),
            ("", f"works once, within 15 min; {radar_command()} user login-link prints another"),
        ]
        facts = [("UI", url), *logins, *panel.facts, *([("Logs", str(logs))] if logs else [])]
        _show(console, Panel(facts, panel.next))

    def say(line: str) -> None:
        console.print(f"{datetime.now():%H:%M:%S}  {line}", markup=False, soft_wrap=True)

    with (
        services_folder(settings.scratch) as folder,
        Happenings(settings, local_url(host, port), say) as happenings,
    ):
        services = [*dagster_services(host, port, folder), *services]
        return run_services(services, environment, stop, logs=logs, when_ready=show, meanwhile=happenings.look, say=say)


def _first_event(settings: "Settings", collector: str) -> Panel:
    """How to send a first event. A home without projects gets a project and a write key for it."""
    from radar_assets.access.keys import create_key
    from radar_assets.access.projects import add_project, list_projects
    from radar_assets.store.database import open_store
    from radar_assets.store.models import Project

    store = open_store(settings.database)
    try:
        newest_first = sorted(list_projects(store), key=lambda project: project.created_at, reverse=True)
        projects = [project.id for project in newest_first]
        if projects:
            key = None
        else:
            add_project(store, Project(FIRST_PROJECT))
            key = create_key(store, FIRST_PROJECT)
            audit(store, "project.add", FIRST_PROJECT, project_id=FIRST_PROJECT, by="radar dev")
            audit(store, "key.create", FIRST_PROJECT, project_id=FIRST_PROJECT, by="radar dev")
    finally:
        store.close()
    curl = [
        f"curl {collector}/v1/events \\",
        f"  -H 'Authorization: Bearer {key}' \\" if key else '  -H "Authorization: Bearer $KEY" \\',
        """  -d '{"type": "page", "anonymous_id": "visitor-1",""",
        """       "properties": {"url": "https://shop.example/pricing"}}'""",
    ]
    project = FIRST_PROJECT if key else printable(projects[0])
    make_key = f"{radar_command()} key create {shlex.quote(project)}"
    if key:
        facts = [("Project", FIRST_PROJECT), ("Write key", key), ("", f"not shown again; make another: {make_key}")]
        return Panel([("Collector", collector), *facts], ["Send a page view:", "", *curl])
    # "and 1 more" would take as much room as the name.
    shown = projects if len(projects) == MAX_NAMED + 1 else projects[:MAX_NAMED]
    named = ", ".join(map(printable, shown))
    more = f" and {len(projects) - len(shown):,} more" if len(projects) > len(shown) else ""
    facts = [("Projects" if projects[1:] else "Project", named + more)]
    return Panel(
        [("Collector", collector), *facts],
        ["Create a write key and send a page view:", "", f"KEY=$({make_key})", *curl],
    )


def _show(console: "Console", panel: Panel) -> None:
    """Print the panel without a frame and without line breaks, so that its commands can be copied."""
    width = max(len(label) for label, _ in panel.facts)
    console.print()
    console.rule("Radar is running", align="left", style="green")
    for label, value in panel.facts:
        console.print(f"{label:{width}}  {value}", markup=False, soft_wrap=True)
    for line in ["", *panel.next, "", "Ctrl-C stops everything."]:
        console.print(line, markup=False, soft_wrap=True)
    console.rule(style="green")


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Check that a server can listen on an address.

    Args:
        option: the option that sets the port, for the error message.

    Raises:
        PortTakenError: it can't listen.
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
