"""Tenants: whoever has a role for one project finds nothing of another one, on any route that the servers have."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from starlette.routing import Route

from radar_assets.access.audit import record as record_audit
from radar_assets.access.browser_sessions import log_in
from radar_assets.access.keys import create_key
from radar_assets.access.projects import add_project
from radar_assets.access.roles import Principal, Role
from radar_assets.access.tokens import create_token
from radar_assets.access.users import add_user
from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.ledger import record
from radar_assets.api.routing import RadarRoute
from radar_assets.collector.doors import DOORS
from radar_assets.collector.operator_routes import operator_routes
from radar_assets.settings import Settings
from radar_assets.store.database import Store
from radar_assets.store.models import AlertRule, Project
from radar_assets.windows import HOUR, Window, utc_now
from radar_assets_tests.alerts.records import alerts, context, judged, rule
from radar_assets_tests.api.conftest import UI, radar_serving
from radar_assets_tests.api.gates import HTML, JSON
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.patience import eventually
from radar_assets_tests.platform import event
from radar_assets_tests.small_assets import small

CANARY = "canary7f3a"
PASSWORD = "correct horse battery"
RUNS = json.dumps({"query": "{ runsOrError { ... on Runs { results { runId tags { key value } } } } }"})


@dataclass
class Tenants:
    """A server with two projects. Everything of `blog` has the canary in it."""

    ui: UI
    store: Store
    run_id: str
    alert_id: str
    headers: dict[str, dict[str, str]]

    def get(self, who: str, path: str, accept: dict[str, str]) -> tuple[int, str]:
        """Status and body of a response; headers count as body."""
        status, headers, text = self.ui.request("GET", path, headers={**accept, **self.headers[who]})
        return status, f"{headers} {text}"

    def examples(self, path: str) -> list[str]:
        """Paths of a route that lead to what is of `blog`."""
        for name, value in (
            *(("{alert_id}", self.alert_id), ("{name}", "__ASSET_JOB"), ("{id}", self.run_id)),
            *(("{run_id:str}", self.run_id), ("{asset_key:path}", "small"), ("{path:path}", f"runs/{self.run_id}")),
            ("{token}", "unknown"),
        ):
            path = path.replace(name, value)
        assert "{" not in path, f"{path}: say which example leads to something of another project"
        return [path, f"{path}?project=blog", f"{path}?project_id=blog&state=all&limit=1000"]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """The server, with people of every role for `shop` only."""
    folder = tmp_path_factory.mktemp("tenants")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        with radar_serving(folder) as (ui, store):
            add_project(store, Project("shop"))
            add_project(store, Project("blog", f"Blog {CANARY}"))
            run = dg.materialize([small], instance=ui.instance, tags={"who": CANARY})
            alert_id = seeded_alert(store)
            who = Principal("user", "9", CANARY, Role.ADMIN)
            record_audit(store, who, "project.rename", "blog", project_id="blog", details={"name": CANARY})
            headers = {"all": bearer(store, Role.ADMIN, None)}
            for role in Role:
                headers[role.value] = bearer(store, role, ["shop"])
                add_user(store, f"the {role}", PASSWORD, role, ["shop"])
                secret = log_in(store, f"the {role}", PASSWORD, "127.0.0.1")
                headers[f"session of {role}"] = {"Cookie": f"radar_session={secret}"}
            yield Tenants(ui, store, run.run_id, alert_id, headers)


def bearer(store: Store, role: Role, projects: list[str] | None) -> dict[str, str]:
    """The header with a new token."""
    return {"Authorization": f"Bearer {create_token(store, 'a token', role, projects, created_by='ann')[0]}"}


def seeded_alert(store: Store) -> str:
    """Record an alert of `blog`. Returns its id."""
    by, hour = rule(name=f"rule_{CANARY}", description=f"About {CANARY}."), Window.of_hour(utc_now() - HOUR)
    with store.session() as session:
        session.add(AlertRule(name=by.name, position=0, spec=by.model_dump(mode="json", by_alias=True)))
    breach = Breach("blog", hour, hour.start, 50, 10, subject="", text="")
    found = Findings(by, {("blog", ""): [hour]}, [breach], judged(by, {}, "blog").asked, {}, {})
    record(store, found, context(utc_now(), project_names={"blog": f"Blog {CANARY}"}))
    return alerts(store)[0].id


def paths(tenants: Tenants) -> dict[str, list[str]]:
    """Examples for every route of Radar and of the Dagster UI that can be read."""
    app = tenants.ui.app
    assert app is not None
    routes = [*app.own.routes, *tenants.ui.dagster_routes]
    found = {}
    for route in routes:
        path = getattr(route, "path", "")
        methods = route.methods if isinstance(route, Route) else {"GET"}
        if path and "GET" in (methods or set()):
            found[path] = tenants.examples(path)
    return found


def test_every_route_shows_nothing_of_another_project(tenants: Tenants) -> None:
    seen = set()
    for route, examples in paths(tenants).items():
        for path in examples:
            for accept in (HTML, {"Accept": "application/json"}):
                if CANARY in tenants.get("all", path, accept)[1]:
                    seen.add(route)
                for who in tenants.headers.keys() - {"all"}:
                    status, text = tenants.get(who, path, accept)
                    assert CANARY not in text, (who, path)
                    assert status < 500, (who, path)
    # What someone with a role for all projects does see, so that the canaries are where they would leak.
    assert {"/radar/alerts", "/radar/alerts/{alert_id}", "/v1/audit"} <= seen


def test_no_one_reads_or_acts_on_another_project_by_post(tenants: Tenants) -> None:
    ui = tenants.ui
    assert CANARY in ui.request("POST", "/graphql", RUNS, {**JSON, **tenants.headers["all"]})[2]
    assert ui.app
    for who in tenants.headers.keys() - {"all"}:
        status, _, text = ui.request("POST", "/graphql", RUNS, {**JSON, **tenants.headers[who]})
        assert (status, CANARY in text) == (403, False)
        for route in ui.app.own.routes:
            if isinstance(route, RadarRoute) and route.method == "POST":
                path = tenants.examples(route.path)[0]
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                sent = JSON if route.is_api else form
                status, _, text = ui.request(
                    "POST", path, "{}" if route.is_api else "", {**sent, **tenants.headers[who]}
                )
                assert CANARY not in text, (who, path)
                assert status >= 400 or route.role is None, (who, path)
    (alert,) = alerts(tenants.store)
    assert (alert.acknowledged_at, alert.snoozed_until) == (None, None)


def test_a_read_key_of_one_project_reads_nothing_of_another(settings: Settings) -> None:
    with serving(settings) as collector:
        keys = {id: create_key(collector.store, id, "read") for id in ("shop", "blog")}
        assert (
            collector.send(
                [event("1", utc_now(), event=f"{CANARY}_event", type="track", project_id="blog")], "blog"
            ).status
            < 300
        )

        def live(project: str, query: str = "") -> tuple[int, str]:
            reply = collector.request("GET", f"/v1/live{query}", headers={"Authorization": f"Bearer {keys[project]}"})
            return reply.status, reply.body.decode()

        assert eventually(lambda: CANARY in live("blog")[1])
        routes = [route.path for route in operator_routes(DOORS)]
        assert "/v1/live" in routes
        for path in routes:
            for query in ("", "?project=blog", "?project=shop&project=blog", "?top=100"):
                reply = collector.request("GET", path + query, headers={"Authorization": f"Bearer {keys['shop']}"})
                assert CANARY.encode() not in reply.body, path
        assert live("shop", "?project=blog")[0] == 403
