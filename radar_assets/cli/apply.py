"""`radar apply`: the rules and channels of `radar.yaml` take effect, also in a UI that runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.terminal import err, out, printable
from radar_assets.cli.ui_address import find_ui

if TYPE_CHECKING:
    from radar_assets.settings import Settings

SLOWEST_RELOAD_S = 60
RELOAD = """
mutation { reloadWorkspace { __typename ... on Workspace { locationEntries { name
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


class ReloadFailedError(Exception):
    """The store has the rules, but a UI that runs could not load them.

    That is a failure although the rules are in place: no check of theirs runs there until somebody has looked into it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"The rules are in place, but {why}")


def apply(*, file: Annotated[Path | None, Parameter(name=("--file", "-f"))] = None) -> None:
    """Validate radar.yaml and put its rules and channels in place; what it doesn't have any more goes.

    Parameters
    ----------
    file
        The file. By default that of RADAR_CONFIG, else radar.yaml in the home.
    """
    from radar_assets.alerts.declaration import declare
    from radar_assets.alerts.ledger import retire
    from radar_assets.config import load_config
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.windows import utc_now

    settings = load_settings().prepare()
    path = file or settings.config_file
    config = load_config(path, required=True, allowed_hosts=settings.allowed_hosts)
    store = open_store(settings.database)
    console, remarks = out(), err()
    changes = declare(store, config.rules, config.channels)
    for change in changes:
        console.print(f"{change.how:8} {change.what} {change.name}", markup=False)
    if not changes:
        console.print("Rules and channels are as they were.")
    if ended := retire(store, config.rules, utc_now()):
        console.print(f"Alerts ended that no rule judges any more: {ended:,}.", markup=False)
    projects = {project.id for project in store.projects()}
    for rule in config.rules:
        named = [*(rule.projects if rule.projects != "*" else ()), *rule.overrides]
        if unknown := sorted(set(named) - projects):
            remarks.print(f"{rule.name}: no project is called {printable(', '.join(unknown))}", style="yellow")
    if config.metrics and path.absolute() != settings.config_file.absolute():
        remarks.print(f"Metrics are still read from {settings.config_file}; set RADAR_CONFIG.", markup=False)
    mails = [channel.name for channel in config.channels if channel.type == "email"]
    if mails and settings.smtp_url is None:
        remarks.print(f"{', '.join(mails)}: no mail is sent until RADAR_SMTP_URL is set", style="yellow")
    # What people reach may be behind a proxy that wants a login; on the same machine there is none in between.
    local = find_ui(settings)
    urls = list(dict.fromkeys(url for url in (local, settings.ui_url) if url))
    ui_id = _instance_id(settings) if urls else ""
    if url := next((url for url in urls if reload_definitions(url, ui_id, is_local=url == local)), None):
        console.print(f"The UI at {url} shows them.", markup=False)
    elif urls:
        console.print(f"No UI answers at {' or '.join(urls)}; the next start has them.", markup=False)
    else:
        console.print("No UI of this home runs on this machine; the next start has them.")


def _instance_id(settings: "Settings") -> str:
    """What tells the Dagster instance of the home from others; the pages of its UI have it."""
    from dagster import DagsterInstance
    from dagster._core.storage.runs import SqlRunStorage

    from radar_assets.orchestration.runtime.instance import prepare_instance

    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        assert isinstance(instance.run_storage, SqlRunStorage)
        return instance.run_storage.get_run_storage_id()


def reload_definitions(url: str, instance_id: str, *, is_local: bool) -> bool:
    """Have the UI of an instance load the definitions anew; False where nothing answers.

    Args:
        is_local: it is on this machine, where no proxy is asked.

    Raises:
        ReloadFailedError: it did, and they don't load; or something else answers.
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
        with opener.open(url, timeout=SLOWEST_RELOAD_S) as page:
            if instance_id.encode() not in page.read():
                raise ReloadFailedError(f"what answers at {url} is not the UI of this home; check RADAR_UI_URL")
        with opener.open(request, timeout=SLOWEST_RELOAD_S) as answer:
            reloaded = json.load(answer)["data"]["reloadWorkspace"]
    except HTTPError as error:
        raise ReloadFailedError(
            f"{url} answered with {error.code} and has not loaded them; reload them there"
        ) from error
    except (OSError, HTTPException):
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise ReloadFailedError(f"the UI at {url} gave an unknown answer; reload them there") from error
    for entry in reloaded.get("locationEntries", ()):
        problem = entry["locationOrLoadError"] or {}
        if problem.get("__typename") == "PythonError":
            raise ReloadFailedError(f"{entry['name']} does not load: {' '.join(problem['message'].split())}")
    return True
