"""`radar apply`: puts the rules and channels of `radar.yaml` into effect, also in a running UI."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import (
    NotConfirmedError,
    counted,
    err,
    is_confirmed,
    is_interactive,
    out,
    print_facts,
    printable,
    radar_command,
)
from radar_assets.cli.ui_address import find_server

if TYPE_CHECKING:
    from radar_assets.alerts.rules import Rule
    from radar_assets.calendar import Calendar
    from radar_assets.config import Config
    from radar_assets.settings import Settings
    from radar_assets.store.database import Store
    from radar_assets.store.declared import Change
    from radar_assets.store.models import Alert

_VERBS = {"added": ("add", "green"), "changed": ("change", "yellow"), "removed": ("remove", "red")}
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


def apply(
    *,
    file: Annotated[Path | None, Parameter(name=("--file", "-f"))] = None,
    dry_run: bool = False,
    yes: bool = False,
) -> int:
    """Validate radar.yaml, show what would change, and apply its channels and rules after confirmation.

    Channels and rules that are no longer in the file are removed. Without a terminal, changes are applied without asking; but
    if everything would be removed, or anything while alerts fire, --yes is needed.

    Parameters
    ----------
    file
        Path of the file. Default: RADAR_CONFIG, else radar.yaml in the home.
    dry_run
        Show what would change, and change nothing.
    yes
        Apply without asking.
    """
    from radar_assets.access.time_zones import read_calendar
    from radar_assets.alerts.ledger import retire, to_retire
    from radar_assets.config import apply_config, changes, load_config
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.windows import utc_now

    settings = load_settings().prepare()
    path = file or settings.config_file
    config = load_config(path, required=True, allowed_hosts=settings.allowed_hosts)
    store, console = open_store(settings.database), out()
    if not (config.rules or config.channels):
        err().print(f"{path} declares no rules and channels.", style="yellow", markup=False, soft_wrap=True)
    with store.session(read_only=True) as session:
        planned = changes(session, config)
    ending = to_retire(store, config.rules)
    _print_plan(planned, ending)
    _print_remarks(settings, store, config, path)
    if dry_run:
        console.print("Dry run: nothing was applied.")
        return 0
    if (planned or ending) and not yes:
        if not is_interactive():
            _check_removals(store, config, path, planned)
        elif not is_confirmed("Apply?"):
            console.print("Nothing was applied.")
            return 1
    apply_config(store, config)
    ended = retire(store, config.rules, utc_now())
    if planned or ended:
        changed = [f"{change.how} {change.what} {change.name}" for change in planned]
        audit(store, "config.apply", path.name, changes=changed, ended_alerts=ended)
    if planned or ended:
        alerts = f", and ended {counted(ended, 'alert')}" if ended else ""
        console.print(f"Applied {counted(len(planned), 'change')}{alerts}.", markup=False)
    _reload_uis(settings)
    _print_evaluations(config.rules, read_calendar(store))
    return 0


def _print_plan(changes: "Sequence[Change]", ending: "Sequence[Alert]") -> None:
    console = out()
    for change in changes:
        fields = f": {', '.join(change.differences)}" if change.differences else ""
        verb, colour = _VERBS[change.how]
        console.print(f"[{colour}]{f'will {verb}':11}[/]", end=" ")
        console.print(printable(f"{change.what} {change.name}{fields}"), markup=False)
    for alert in ending:
        where = f" of {alert.project_id}" if alert.project_id else ""
        text = f"alert {alert.id[:8]}, {alert.rule}{where}, firing since {alert.started_at:%Y-%m-%d %H:%M}"
        console.print(f"[red]{'will end':11}[/]", end=" ")
        console.print(printable(text), markup=False)
    if not (changes or ending):
        console.print("Rules and channels are unchanged.")


def _print_remarks(settings: "Settings", store: "Store", config: "Config", path: Path) -> None:
    """Print what will not work as the file may intend."""
    from radar_assets.access.projects import list_projects

    remarks = err()
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


def _check_removals(store: "Store", config: "Config", path: Path, changes: "Sequence[Change]") -> None:
    """Check that nothing is removed that a person should confirm.

    Raises:
        NotConfirmedError: everything would be removed, or something while alerts fire.
    """
    from radar_assets.alerts.records import list_alerts

    if not (removed := sum(change.how == "removed" for change in changes)):
        return
    if not (config.rules or config.channels):
        raise NotConfirmedError(
            f"nothing was applied, because {path} declares no rules and channels, which would remove all of them; "
            "pass --yes to do that"
        )
    if firing := len(list_alerts(store, limit=1000)):
        raise NotConfirmedError(
            f"nothing was applied, because {counted(removed, 'rule or channel', 'rules or channels')} would be removed "
            f"while {counted(firing, 'alert is', 'alerts are')} firing; pass --yes to do that"
        )


def _reload_uis(settings: "Settings") -> None:
    """Make a running UI load the rules, whose checks it then runs, and print which one did."""
    console = out()
    # The public address may be behind a proxy that asks for a login, so a UI on this machine is tried first.
    server = find_server(settings)
    local, token = server or (None, "")
    urls = list(dict.fromkeys(url for url in (local, settings.ui_url) if url))
    ui_id = _instance_id(settings) if urls else ""
    tokens = {local: token}
    if url := next(
        (url for url in urls if reload_definitions(url, ui_id, tokens.get(url), is_local=url == local)), None
    ):
        console.print(f"The UI at {url} has loaded them.", markup=False)
    elif urls:
        console.print(f"No UI responds at {' or '.join(urls)}; they are loaded when it starts.", markup=False)
    else:
        console.print("No UI of this home runs on this machine; they are loaded when it starts.")


def _print_evaluations(rules: "Sequence[Rule]", calendar: "Calendar") -> None:
    """Print when each rule is evaluated next: those over days when a day of any project has ended, and every hour."""
    from radar_assets.alerts.automation import next_evaluations
    from radar_assets.windows import utc_now

    if not rules:
        return
    found = next_evaluations([rule for rule in rules if rule.enabled], utc_now(), calendar)
    out().print(f"\nNext evaluation, while {radar_command()} dev or the daemon runs:")
    print_facts(
        (f"  {rule.name}", f"{found[rule.name]:%Y-%m-%d %H:%M} UTC" if rule.name in found else "never; it is disabled")
        for rule in rules
    )


def _instance_id(settings: "Settings") -> str:
    """The id of the home's Dagster instance, which the pages of its UI contain."""
    from dagster import DagsterInstance
    from dagster._core.storage.runs import SqlRunStorage

    from radar_assets.orchestration.runtime.instance import prepare_instance

    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        assert isinstance(instance.run_storage, SqlRunStorage)
        return instance.run_storage.get_run_storage_id()


def reload_definitions(url: str, instance_id: str, token: str | None = None, *, is_local: bool) -> bool:
    """Make the UI of an instance reload its definitions. Returns False if nothing responds.

    Args:
        token: of the UI for commands on this machine.
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
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = Request(f"{url.rstrip('/')}/graphql", body, headers)
    try:
        # Without a login, Radar shows a page with the id too.
        with opener.open(Request(url, headers={"Accept": "text/html"}), timeout=RELOAD_TIMEOUT_S) as page:
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
