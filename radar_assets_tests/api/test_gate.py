"""The gate: what every role gets from every route that the application and the Dagster UI have, over HTTP and websockets."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from radar_assets.access.roles import Principal, Role
from radar_assets.api import ui_gate
from radar_assets.api.routing import RadarRoute
from radar_assets.api.trigger_tags import TRIGGERED_BY
from radar_assets.settings import load_settings
from radar_assets_tests.api.conftest import PATIENCE_S
from radar_assets_tests.api.gates import HTML, JSON, PEOPLE, TENANT, WHO, Gate, gated
from radar_assets_tests.patience import eventually
from radar_assets_tests.small_assets import small

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WRITES = ("/graphql", "/report_asset_materialization/", "/report_asset_check/", "/report_asset_observation/")
"""Paths of the Dagster UI that take more than GET."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server with the gate, whose instance has a run."""
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        with gated(load_settings().prepare(), folder) as gate:
            gate.ui.run_id = dg.materialize([small], instance=gate.ui.instance).run_id
            yield gate


def may(who: str, role: Role) -> bool:
    """Whether someone may do what a role may."""
    return who in PEOPLE and PEOPLE[who].may(role)


def example(path: str) -> str:
    """A path of a route."""
    for parameter, value in (("{name}", "unknown"), ("{id}", "unknown"), ("{run_id:str}", "unknown")):
        path = path.replace(parameter, value)
    return path.replace("{asset_key:path}", "forged").replace("{path:path}", "runs")


@pytest.mark.parametrize("who", WHO)
def test_every_route_of_radar_needs_its_role(gate: Gate, who: str) -> None:
    routes = gate.app.own.routes
    assert len(routes) > 10
    for route in routes:
        assert isinstance(route, RadarRoute), "each route has a role, or is public by choice"
        body = None if route.method == "GET" else ""
        headers = {} if route.method == "GET" else JSON if route.is_api else FORM
        status, answer, _ = gate.request(who, route.method, example(route.path), body, headers)
        if route.role is None:
            assert status not in (401, 500), route.path
        elif may(who, route.role):
            expected = {200, 404} if route.method == "GET" else {404, 403}
            # The form without the token of the session; the role alone would do.
            assert status in expected, (route.path, status)
            assert route.method == "GET" or route.is_api == (status == 404)
        else:
            assert status == (401 if who == "nobody" else 403), route.path
        assert (status == 401) == ("www-authenticate" in answer)


def test_only_known_routes_are_public(gate: Gate) -> None:
    routes = [route for route in gate.app.own.routes if isinstance(route, RadarRoute)]
    public = {route.path for route in routes if route.role is None}
    assert public == {
        "/",
        "/radar",
        "/radar/style.css",
        "/radar/refresh.js",
        "/healthz",
        "/readyz",
        "/v1/openapi.json",
    } | {*("/login", "/login/link", "/logout")}


@pytest.mark.parametrize("who", WHO)
def test_every_route_of_the_dagster_ui_needs_a_role(gate: Gate, who: str) -> None:
    for route in gate.dagster.routes:
        assert isinstance(route, Route | Mount | WebSocketRoute)
        path = example(route.path)
        if isinstance(route, WebSocketRoute):
            assert path == "/graphql", "decide on a new websocket"
            continue
        methods = route.methods if isinstance(route, Route) else {"GET"}
        assert (methods or set()) <= {"GET", "HEAD"} or path.startswith(WRITES), "decide on a new method"
        if path.startswith(WRITES[1:]):
            status, _, _ = gate.request(who, "POST", path + who, "{}", JSON)
            assert (status not in (401, 403)) == may(who, Role.OPERATOR), path
        elif path != "/":
            status, _, _ = gate.request(who, "GET", path)
            assert (status == 401) == (who == "nobody"), path
            assert (status == 403) == (who == TENANT), path
            status, _, _ = gate.request(who, "POST", path, "{}", JSON)
            expected = 400 if path == "/graphql" else 405
            assert status == (401 if who == "nobody" else 403 if who == TENANT else expected), path
    assert any(f"forged{who}" in name for name in gate.ui.reported()) == may(who, Role.OPERATOR)


@pytest.mark.parametrize("who", WHO)
def test_a_query_and_a_mutation_over_http(gate: Gate, who: str) -> None:
    status, answer = gate.graphql(who, "{ version }")
    assert status == (401 if who == "nobody" else 403 if who == TENANT else 200)
    assert ("data" in answer and bool(answer["data"])) == (status == 200)
    mutation = "mutation A($key: String!) { setConcurrencyLimit(concurrencyKey: $key, limit: 1) }"
    status, _ = gate.graphql(who, mutation, key=f"by_{who}")
    assert (status == 200) == may(who, Role.ADMIN)
    assert (f"by_{who}" in gate.ui.pools()) == may(who, Role.ADMIN)
    lines = [line for line in gate.recorded if line["who"] == f"the {who}" and line["action"] == "graphql"]
    if may(who, Role.ADMIN):
        assert lines[-1]["target"] == "setConcurrencyLimit"
        assert lines[-1]["details"] == {"arguments": {"concurrencyKey": f"by_{who}", "limit": 1}}
    else:
        assert not lines or lines[-1]["result"] == "refused"


def test_viewers_see_disabled_buttons(gate: Gate) -> None:
    query = "{ permissions { permission value } }"
    for who in ("viewer", "operator"):
        granted = {each["value"] for each in gate.graphql(who, query)[1]["data"]["permissions"]}
        assert (True in granted) == may(who, Role.OPERATOR)


def test_a_failed_mutation_is_recorded_as_failed(gate: Gate) -> None:
    status, _ = gate.graphql("admin", "mutation { setConcurrencyLimit(limit: 1) }")
    assert status == 400
    # The last line is written after the response.
    assert eventually(lambda: [line["result"] for line in gate.recorded[-2:]] == ["allowed", "failed"])


def test_a_run_that_the_ui_launches_has_the_name_of_who_launched_it(gate: Gate) -> None:
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "radar_assets_tests.small_assets",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": ["small"]}],
    }
    query = """mutation A($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
        __typename ... on LaunchRunSuccess { run { id } } } }"""
    _, answer = gate.graphql("operator", query, params={"selector": selector, "mode": "default", "runConfigData": {}})
    run = gate.ui.instance.get_run_by_id(answer["data"]["launchPipelineExecution"]["run"]["id"])
    assert run and run.tags[TRIGGERED_BY] == "the operator"


@pytest.mark.parametrize(
    "path",
    [
        *("//graphql", "/graphql/", "/%67raphql", "/GraphQL", "/graphql%2f", "/./graphql", "/x/../graphql"),
        *(
            "/radar/../graphql",
            "/v1/../graphql",
            "/login/../graphql",
            "/healthz/../graphql",
            "/graphql;a",
            "/graphql%00",
        ),
        *("//v1/jobs/x/runs", "/V1/jobs/x/runs", "/v1//jobs/x/runs", "/%2fv1/jobs/x/runs", "/v1/jobs/x%2fruns"),
        *("//report_asset_materialization/forged_viewer", "/radar/..%2freport_asset_materialization/forged_viewer"),
    ],
)
def test_no_form_of_a_path_gets_around_the_roles(gate: Gate, path: str) -> None:
    body = json.dumps({"query": 'mutation { setConcurrencyLimit(concurrencyKey: "around", limit: 1) }'})
    for who in ("nobody", "viewer", TENANT):
        status, _, _ = gate.request(who, "POST", path, body, JSON)
        assert status >= 400
    assert "around" not in gate.ui.pools()
    assert "forged_viewer" not in gate.ui.reported()


@pytest.mark.parametrize(
    "path", ["//runs", "/%2e%2e/runs", "/Radar/jobs", "/radar/jobs/", "/v1/jobs/", "/login/../runs"]
)
def test_no_form_of_a_path_shows_the_ui_without_a_token(gate: Gate, path: str) -> None:
    status, _, text = gate.request("nobody", "GET", path)
    assert status in (401, 404)
    assert 'id="root"' not in text


def test_people_get_pages_and_programs_get_json(gate: Gate) -> None:
    status, headers, _ = gate.request("nobody", "GET", "/runs/1?a=b", headers=HTML)
    assert (status, headers["location"]) == (303, "/login?next=%2Fruns%2F1%3Fa%3Db")
    status, headers, text = gate.request(TENANT, "GET", "/runs", headers=HTML)
    assert (status, "your role is for some of them" in text) == (403, True)
    assert "default-src 'none'" in headers["content-security-policy"]
    status, headers, text = gate.request("viewer", "GET", "/v1/unknown")
    assert (status, headers["content-type"], json.loads(text)["status"]) == (404, "application/problem+json", 404)


@pytest.mark.parametrize("authorization", ["Basic dG9rZW4=", "Bearer", "Bearer unknown", "token-admin", "Bearer  "])
def test_an_invalid_token_is_refused(gate: Gate, authorization: str) -> None:
    assert gate.ui.request("GET", "/runs", headers={"Authorization": authorization})[0] == 401


def socket(gate: Gate, who: str) -> ClientConnection:
    """A websocket to the UI."""
    headers = {} if who == "nobody" else {"Authorization": f"Bearer token-{who}"}
    url = gate.ui.url.replace("http", "ws")
    protocols: Any = ["graphql-ws"]
    return connect(f"{url}/graphql", additional_headers=headers, subprotocols=protocols, open_timeout=PATIENCE_S)


def start(query: str, id: str = "1") -> str:
    """The message that starts a subscription."""
    return json.dumps({"type": "start", "id": id, "payload": {"query": query, "variables": {}}})


@pytest.mark.parametrize("who", ["nobody", TENANT])
def test_a_websocket_needs_a_role_for_all_projects(gate: Gate, who: str) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        socket(gate, who)


def test_a_websocket_carries_subscriptions_and_no_mutation(gate: Gate) -> None:
    logs = f'subscription {{ pipelineRunLogs(runId: "{gate.ui.run_id}", cursor: null) {{ __typename }} }}'
    with socket(gate, "admin") as connection:
        connection.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(connection.recv(PATIENCE_S)) == {"type": "connection_ack"}
        connection.send(start('mutation { setConcurrencyLimit(concurrencyKey: "socket", limit: 1) }'))
        refusal = json.loads(connection.recv(PATIENCE_S))
        assert (refusal["type"], refusal["payload"]["message"]) == ("error", "Only subscriptions are allowed here.")
        connection.send(start(logs, "2"))
        assert json.loads(connection.recv(PATIENCE_S))["type"] == "data"
    assert "socket" not in gate.ui.pools()


@pytest.mark.parametrize("message", ["[]", "1", "{", b"{}"])
def test_a_websocket_closes_at_what_is_not_an_object(gate: Gate, message: str | bytes) -> None:
    with socket(gate, "viewer") as connection:
        connection.send(message)
        with pytest.raises(ConnectionClosed):
            connection.recv(PATIENCE_S)


def test_an_open_websocket_ends_with_its_session(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui_gate, "RECHECK_S", 0.1)
    gate.tokens["token-brief"] = Principal("token", "9", "brief", Role.VIEWER)
    with socket(gate, "brief") as connection:
        connection.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(connection.recv(PATIENCE_S)) == {"type": "connection_ack"}
        del gate.tokens["token-brief"]
        with pytest.raises(ConnectionClosed):
            connection.recv(PATIENCE_S)
        assert eventually(lambda: connection.close_code == ui_gate.SESSION_ENDED)
