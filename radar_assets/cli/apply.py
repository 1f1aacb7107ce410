"""`radar apply`: puts the rules and channels of `radar.yaml` into effect, also in a running UI."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.terminal import err, out, printable
from radar_assets.cli.ui_address import find_ui

if TYPE_CHECKING:
    from radar_assets.settings import Settings

RELOAD_TIMEOUT_S = 60
RELOAD = """
mutation { reloadWorkspace { __typename ... on Workspace { locationEntries { name
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


class ReloadFailedError(Exception):
    """The rules are stored, but a running UI could not load them.

    This is a failure, because none of their checks runs until the UI has loaded them.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The rules are stored, but {reason}")


def apply(*, file: Annotated[Path | None, Parameter(name=("--file", "-f"))] = None) -> None:
    """Validate radar.yaml and apply its channels and rules, removing those that are no longer in it.

    Parameters
    ----------
    file
        Path of the file. Default: RADAR_CONFIG, else radar.yaml in the home.
    """
    from radar_assets.access.projects import list_projects
    from radar_assets.alerts.ledger import retire
    from radar_assets.config import apply_config, load_config
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.windows import utc_now

    settings = load_settings().prepare()
    path = file or settings.config_file
    config = load_config(path, required=True, allowed_hosts=settings.allowed_hosts)
    store = open_store(settings.database)
    console, remarks = out(), err()
    changes = apply_config(store, config)
    for change in changes:
        console.print(f"{change.how:8} {change.what} {change.name}", markup=False)
    if not changes:
        console.print("Rules and channels are unchanged.")
    if ended := retire(store, config.rules, utc_now()):
        console.print(f"Ended {ended:,} alerts of rules that were removed or changed.", markup=False)
    projects = {project.id for project in list_projects(store)}
    for rule in config.rules:
        named = [*(rule.projects if rule.projects != "*" else ()), *rule.overrides]
        if unknown := sorted(set(named) - projects):
            remarks.print(f"{rule.name}: unknown project {printable(', '.join(unknown))}", style="yellow")
    if config.metrics and path.absolute() != settings.config_file.absolute():
        remarks.print(f"Metrics are still read from {settings.config_file}; set RADAR_CONFIG={path}.", markup=False)
    for channel in config.channels:
        if problem := channel.missing_setting(settings):
            remarks.print(f"{channel.name}: {problem}", style="yellow")
    # The public address may be behind a proxy that asks for a login, so a UI on this machine is tried first.
    local = find_ui(settings)
    urls = list(dict.fromkeys(url for url in (local, settings.ui_url) if url))
    ui_id = _instance_id(settings) if urls else ""
    if url := next((url for url in urls if reload_definitions(url, ui_id, is_local=url == local)), None):
        console.print(f"The UI at {url} has loaded them.", markup=False)
    elif urls:
        console.print(f"No UI responds at {' or '.join(urls)}; they are loaded when it starts.", markup=False)
    else:
        console.print("No UI of this home runs on this machine; they are loaded when it starts.")


def _instance_id(settings: "Settings") -> str:
    """The id of the home's Dagster instance, which the pages of its UI contain."""
    from dagster import DagsterInstance
    from dagster._core.storage.runs import SqlRunStorage

    from radar_assets.orchestration.runtime.instance import prepare_instance

    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        assert isinstance(instance.run_storage, SqlRunStorage)
        return instance.run_storage.get_run_storage_id()


def reload_definitions(url: str, instance_id: str, *, is_local: bool) -> bool:
    """Make the UI of an instance reload its definitions. Returns False if nothing responds.

    Args:
        is_local: whether it runs on this machine, and no proxy is used.

    Raises:
        ReloadFailedError: the definitions don't load, or the response is not that of this home's UI.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, Request, build_opener

    from radar_assets.urls import LOOPBACK_HOSTS

    is_local = is_local or urlsplit(url).hostname in LOOPBACK_HOSTS
    opener = build_opener(*([ProxyHandler({})] if is_local else []))
    body = json.dumps({"query": RELOAD}).encode()
    request = Request(f"{url.rstrip('/')}/graphql", body, {"Content-Type": "application/json"})
    try:
        with opener.open(url, timeout=RELOAD_TIMEOUT_S) as page:
            if instance_id.encode() not in page.read():
                raise ReloadFailedError(f"{url} is not the UI of this home; check RADAR_UI_URL")
        with opener.open(request, timeout=RELOAD_TIMEOUT_S) as response:
            reloaded = json.load(response)["data"]["reloadWorkspace"]
    except HTTPError as error:
        raise ReloadFailedError(
            f"{url} responded with {error.code} to the reload; reload definitions in the UI"
        ) from error
    except (OSError, HTTPException):
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise ReloadFailedError(f"the UI at {url} gave an unexpected response; reload definitions in the UI") from error
    for entry in reloaded.get("locationEntries", ()):
        problem = entry["locationOrLoadError"] or {}
        if problem.get("__typename") == "PythonError":
            raise ReloadFailedError(f"{entry['name']} failed to load: {' '.join(problem['message'].split())}")
    return True
