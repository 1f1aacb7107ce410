"""A server with the gate on the instance of a small platform, and people of every role, for tests."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from radar_assets.access.roles import Principal, Role
from radar_assets.api.accounts import Accounts
from radar_assets.api.app import RadarApp, ready_route
from radar_assets.api.audit_reads import audit_route
from radar_assets.api.guard import Guard
from radar_assets.api.identity import Identities
from radar_assets.api.jobs_page import jobs_routes
from radar_assets.api.local_access import LocalAccess
from radar_assets.api.login import login_routes
from radar_assets.api.openapi import openapi_route
from radar_assets.api.replays import replay_routes
from radar_assets.api.server import dagster_ui, loaded_workspace
from radar_assets.api.triggers import trigger_routes
from radar_assets.origins import Origin
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.tables import open_lakehouse
from radar_assets.urls import LOOPBACK_HOSTS
from radar_assets_tests.api.conftest import UI, listening, workspace_of
from radar_assets_tests.platform import instance_of

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
    """A running server with the gate, the UI behind it, its home and files, tokens that are sessions too, and what it recorded."""

    ui: UI
    app: RadarApp
    dagster: Starlette
    home: Path
    workspace: Path
    tokens: dict[str, Principal]
    accounts: Accounts
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


@contextmanager
def gated(settings: Settings, folder: Path, module: str = "radar_assets_tests.small_assets") -> Iterator[Gate]:
    """Serve a home's UI behind the gate."""
    with ExitStack() as stack:
        instance = stack.enter_context(instance_of(settings))
        file = workspace_of(folder, module)
        workspace = stack.enter_context(loaded_workspace(settings, file))
        recorded: list[dict[str, Any]] = []

        def record(principal: Principal | None, action: str, target: str, **more: Any) -> None:
            recorded.append({"who": principal and principal.name, "action": action, "target": target, **more})
            accounts.record(principal, action, target, **more)

        tokens = {f"token-{name}": principal for name, principal in PEOPLE.items()}
        store = open_store(settings.database)
        stack.callback(store.close)
        replays = replay_routes(workspace, store, open_lakehouse(settings))
        api = [*trigger_routes(workspace, store), *replays, audit_route(store)]
        accounts = Accounts(store, LocalAccess())
        public = Origin("https", "radar.example", 443)

        def find_token(token: str) -> Principal | None:
            return tokens.get(token) or accounts.find_token(token)

        def find_session(secret: str) -> Principal | None:
            return tokens.get(secret) or accounts.find_session(secret)

        identities = Identities(find_token, find_session, public=[public])
        dagster = dagster_ui(workspace)
        routes = [
            *login_routes(identities, accounts),
            *jobs_routes(workspace),
            *api,
            openapi_route(api),
            ready_route(store),
        ]
        app = RadarApp(dagster, identities, record, routes)
        ui = stack.enter_context(listening(Guard(app, {*LOOPBACK_HOSTS, public.host}, {public}), UI(instance, "")))
        yield Gate(ui, app, dagster, settings.home, file, tokens, accounts, recorded)
