"""The gate of the Dagster UI and Radar's routes: what each role gets, over HTTP and websockets, by every route that the application has."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest
from starlette.routing import Route

from radar_assets.access.roles import Principal, Role
from radar_assets.api.app import RadarApp
from radar_assets.api.guard import guarded
from radar_assets.api.identity import Identities
from radar_assets.api.jobs_page import jobs_routes
from radar_assets.api.server import dagster_ui, loaded_workspace
from radar_assets.settings import load_settings
from radar_assets_tests.api.conftest import UI, listening, workspace_of
from radar_assets_tests.platform import instance_of
from radar_assets_tests.small_assets import small

JSON = {"Content-Type": "application/json"}
HTML = {"Accept": "text/html"}
TENANT = "tenant"
PEOPLE = {
    **{role.value: Principal("user", f"{role}-1", f"the {role}", role) for role in Role},
    TENANT: Principal("user", "4", "the tenant", Role.ADMIN, frozenset({"shop"})),
}
WHO = ["nobody", *PEOPLE]


@dataclass
class Gate:
    """A running server with the gate, and what it recorded."""

    ui: UI
    app: RadarApp
    recorded: list[dict[str, Any]] = field(default_factory=list)

    def request(
        self, who: str, method: str, target: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Send a request with someone's token."""
        token = {} if who == "nobody" else {"Authorization": f"Bearer token-{who}"}
        return self.ui.request(method, target, body, {**token, **(headers or {})})

    def graphql(self, who: str, query: str, **variables: Any) -> tuple[int, dict[str, Any]]:
        """Send a query."""
        body = json.dumps({"query": query, "variables": variables})
        status, _, text = self.request(who, "POST", "/graphql", body, JSON)
        return status, json.loads(text)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server with the gate, on the instance of a small platform."""
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        settings = load_settings().prepare()
        instance = stack.enter_context(instance_of(settings))
        run_id = dg.materialize([small], instance=instance).run_id
        workspace = stack.enter_context(loaded_workspace(settings, workspace_of(folder)))
        recorded: list[dict[str, Any]] = []

        def record(principal: Principal | None, action: str, target: str, **more: Any) -> None:
            recorded.append({"who": principal and principal.name, "action": action, "target": target, **more})

        tokens = {f"token-{name}": principal for name, principal in PEOPLE.items()}
        identities = Identities(tokens.get, {}.get, form_key="key")
        app = RadarApp(dagster_ui(workspace), identities, record, jobs_routes(workspace))
        ui = stack.enter_context(listening(guarded(app, settings, "127.0.0.1"), UI(instance, run_id)))
        yield Gate(ui, app, recorded)


def test_smoke(gate: Gate) -> None:
    for who in WHO:
        for target in ("/", "/radar/jobs", "/runs", "/radar/jobs/__ASSET_JOB/run"):
            status, headers, text = gate.request(who, "GET", target, headers=HTML)
            print(who, target, status, headers.get("location"))
            if who == "operator" and target == "/radar/jobs":
                print(text)
        print(gate.graphql(who, "{ version }"))
        print(gate.graphql(who, 'mutation { setConcurrencyLimit(concurrencyKey: "x", limit: 1) }'))
    assert 0
