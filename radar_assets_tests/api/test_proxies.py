"""Proxies that log people in: a real one in front of the server, and requests that only pretend to come from it."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from radar_assets.access.audit import list_entries
from radar_assets.access.outside_logins import OutsidePerson, link_user, proxy_subject
from radar_assets.access.roles import Principal, Role
from radar_assets.access.tokens import create_token
from radar_assets.access.users import add_user, disable_user, enable_user, list_users
from radar_assets.api.login import HOME
from radar_assets.api.proxies import Proxied, client_address
from radar_assets.settings import load_settings
from radar_assets.store.database import Store
from radar_assets_tests.api.conftest import UI, radar_serving
from radar_assets_tests.api.gates import HTML, JSON
from radar_assets_tests.api.header_proxy import ADDRESS, header_proxy

SECRET = "secret of the proxy"
BY_PROXY = {"X-Radar-Proxy-Secret": SECRET, "Remote-User": "ann", "Remote-Groups": "other, staff"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUERY = json.dumps({"query": "{ version }"})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UI, Store]]:
    """A server that believes one proxy, and its store."""
    folder = tmp_path_factory.mktemp("proxies")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "HOME": folder / "home",
            "UI_PROXIES": f"{ADDRESS}, 10.0.0.0/8",
            "UI_PROXY_SECRET": SECRET,
            "UI_USER_HEADER": "Remote-User",
            "UI_GROUPS_HEADER": "Remote-Groups",
            "LOGIN_ROLES": '{"staff": "operator", "bosses": "admin"}',
        }.items():
            environment.setenv(f"RADAR_{name}", str(value))
        with radar_serving(folder) as found:
            yield found


@pytest.fixture
def ui(served: tuple[UI, Store]) -> UI:
    """The server, reached past the proxy."""
    return served[0]


@pytest.fixture
def store(served: tuple[UI, Store]) -> Store:
    """Its store."""
    return served[1]


@pytest.fixture(scope="module")
def proxied(served: tuple[UI, Store]) -> Iterator[UI]:
    """The server behind the proxy, which has logged ann in."""
    with header_proxy(served[0].port, BY_PROXY) as port:
        yield replace(served[0], port=port)


def by(ui: UI, name: str, groups: str = "staff", **more: str) -> tuple[int, dict[str, str], str]:
    """Open the jobs page behind a proxy that has logged someone in."""
    with header_proxy(ui.port, {**BY_PROXY, "Remote-User": name, "Remote-Groups": groups, **more}) as port:
        return replace(ui, port=port).request("GET", HOME, headers=HTML)


def test_the_proxy_says_who_it_is_and_what_they_may_do(ui: UI, proxied: UI, store: Store) -> None:
    status, _, text = proxied.request("GET", HOME, headers=HTML)
    assert (status, "ann (operator)" in text, "Log out" in text) == (200, True, False)
    assert {user.name: (user.role, user.oidc_subject) for user in list_users(store)}["ann"] == ("operator", "proxy ann")
    assert "ann (admin)" in by(ui, "ANN", "bosses,staff")[2], "names are the same regardless of case"
    status, _, text = by(ui, "bob", "others")
    assert (status, "None of your groups has a role here" in text) == (403, True)
    assert "bob" not in {user.name for user in list_users(store)}
    assert "ann (operator)" in proxied.request("GET", HOME, headers=HTML)[2]
    changes = [entry for entry in list_entries(store) if entry.action in ("user.add", "user.set_role")]
    assert [entry.action for entry in changes[:3]] == ["user.set_role", "user.set_role", "user.add"]


def test_without_a_login_at_the_proxy_people_log_in_here(ui: UI) -> None:
    assert by(ui, "")[1]["location"].startswith("/login")


@pytest.mark.parametrize("path", [HOME, "/", "/login", "/runs", "/graphql", "/v1/jobs", "/radar/unknown", "/healthz"])
def test_past_the_proxy_the_header_is_refused(ui: UI, path: str) -> None:
    for spoofed in ({"Remote-User": "ann"}, {"remote-user": "", **BY_PROXY}, BY_PROXY):
        status, _, text = ui.request("GET", path, headers={**HTML, **spoofed})
        assert (status, "RADAR_UI_PROXIES" in text) == (403, True)
    other = {"X-Forwarded-User": "ann", "Remote_User": "ann", "X-Forwarded-For": ADDRESS}
    assert ui.request("GET", HOME, headers={**HTML, **other})[1]["location"].startswith("/login")


def test_a_proxy_without_the_secret_is_refused(ui: UI) -> None:
    for secret in ("", "wrong", SECRET[:-1]):
        status, _, text = by(ui, "ann", **{"X-Radar-Proxy-Secret": secret})
        assert (status, "RADAR_UI_PROXY_SECRET" in text) == (403, True)


def test_what_the_client_says_of_itself_is_replaced_or_refused(ui: UI, proxied: UI) -> None:
    spoofed = {"Remote-User": "boss", "Remote-Groups": "bosses", "X-Radar-Proxy-Secret": SECRET}
    assert "ann (operator)" in proxied.request("GET", HOME, headers={**HTML, **spoofed})[2]
    with header_proxy(ui.port, BY_PROXY, replaces=False) as port:
        careless = replace(ui, port=port)
        status, _, text = careless.request("GET", HOME, headers={**HTML, "Remote-User": "boss"})
        assert (status, "is there twice" in text) == (400, True)
        status, _, text = careless.request("GET", HOME, headers={**HTML, "Remote-Groups": "bosses"})
        assert (status, "None of your groups" in text) == (403, True)


def test_a_disabled_user_and_the_name_of_another_one_stay_out(ui: UI, proxied: UI, store: Store) -> None:
    assert proxied.request("GET", HOME)[0] == 200
    disable_user(store, "ann")
    status, _, text = proxied.request("GET", HOME)
    assert (status, "disabled" in text) == (403, True)
    enable_user(store, "ann")
    assert proxied.request("GET", HOME)[0] == 200
    add_user(store, "local", "correct horse battery", Role.ADMIN)
    status, _, text = by(ui, "Local")
    assert (status, "There is a user Local already" in text) == (403, True)
    link_user(store, "local", proxy_subject("LOCAL"))
    assert "local (operator)" in by(ui, "Local")[2]


def test_the_dagster_ui_works_behind_the_proxy(ui: UI, proxied: UI) -> None:
    assert proxied.request("GET", "/runs", headers=HTML)[0] == 200
    status, _, text = proxied.request("POST", "/graphql", QUERY, JSON)
    assert (status, "version" in json.loads(text)["data"]) == (200, True)
    protocol = [Subprotocol("graphql-ws")]
    with connect(f"ws://127.0.0.1:{proxied.port}/graphql", subprotocols=protocol, open_timeout=60) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=60))["type"] == "connection_ack"
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{ui.port}/graphql", subprotocols=protocol, additional_headers=BY_PROXY)


def test_an_open_websocket_ends_with_its_user(proxied: UI, store: Store) -> None:
    protocol = [Subprotocol("graphql-ws")]
    with connect(f"ws://127.0.0.1:{proxied.port}/graphql", subprotocols=protocol, open_timeout=60) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        socket.recv(timeout=60)
        disable_user(store, "ann")
        try:
            with pytest.raises(ConnectionClosedError, match="4401"):
                socket.recv(timeout=60)
        finally:
            enable_user(store, "ann")


def test_pages_of_other_sites_cause_nothing_with_the_login_of_the_proxy(proxied: UI) -> None:
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert proxied.request("POST", "/graphql", QUERY, {**JSON, **evil})[0] == 403
    assert proxied.request("POST", "/graphql", QUERY, {**FORM})[0] == 415
    run = "/radar/jobs/__ASSET_JOB/run"
    assert proxied.request("POST", run, urlencode({"form_token": "0" * 64}), FORM)[0] == 403
    found = re.search(r'name="form_token" value="(\w+)"', proxied.request("GET", HOME)[2])
    assert found
    assert proxied.request("POST", run, urlencode({"form_token": found[1]}), {**FORM, **evil})[0] == 403
    status, _, text = proxied.request("POST", run, urlencode({"form_token": found[1]}), FORM)
    assert "not of this session" not in text
    assert status != 403


def test_tokens_work_behind_the_proxy(proxied: UI, store: Store) -> None:
    token, _ = create_token(store, "ci", Role.ADMIN, created_by="ann")
    assert proxied.request("GET", "/v1/audit")[0] == 403, "ann is an operator"
    assert proxied.request("GET", "/v1/audit", headers={"Authorization": f"Bearer {token}"})[0] == 200


def test_addresses_of_logins_are_those_of_the_clients(ui: UI, store: Store) -> None:
    def attempt(ui: UI, **headers: str) -> str | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        ui.request("GET", "/login/link?secret=unknown", headers=named)
        (entry,) = list_entries(store, limit=1)
        assert entry.action == "login by link"
        return entry.address

    spoofed = {"X_Forwarded_For": "203.0.113.9"}
    with header_proxy(ui.port, {"X-Radar-Proxy-Secret": SECRET}) as port:
        behind = replace(ui, port=port)
        assert attempt(behind) == "127.0.0.1"
        assert attempt(behind, **spoofed) == "127.0.0.1", "the last hop that is no proxy"
        with header_proxy(port, {}) as outer:
            assert attempt(replace(ui, port=outer), **spoofed) == "127.0.0.1", "two proxies in a row"
    assert attempt(ui, **spoofed) == "127.0.0.1", "past the proxy nothing is believed"


@pytest.mark.parametrize(
    ("hops", "address"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        (["6.6.6.6", " 203.0.113.9:4711 ", "10.0.0.2:80", "[2001:db8::1]:80"], "203.0.113.9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["[2001:db9::1]"], "2001:db9::1"),
        (["10.0.0.3", "10.0.0.2"], "10.0.0.3"),
        (["203.0.113.9", "unknown"], "10.0.0.1"),
        (["203.0.113.9", "", "10.0.0.2"], "10.0.0.2"),
        (["x" * 10_000], "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy(
    hops: list[str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADAR_UI_PROXIES", "10.0.0.0/8,2001:db8::/32")
    assert client_address("10.0.0.1", hops, load_settings().proxy_networks) == address


@pytest.mark.parametrize(
    ("settings", "headers", "status", "client"),
    [
        ({}, {}, 200, "10.0.0.1"),
        ({}, {"Remote-User": "ann", "X-Forwarded-For": "6.6.6.6"}, 200, "10.0.0.1"),
        ({"USER_HEADER": "Remote-User"}, {"Remote-User": "ann"}, 403, ""),
        ({"USER_HEADER": "Remote-User", "PROXIES": "10.0.0.2"}, {"Remote-User": "ann"}, 403, ""),
        ({"USER_HEADER": "Remote-User", "PROXIES": "10.0.0.1"}, {"Remote-User": "ann"}, 200, "10.0.0.1"),
        ({"PROXIES": "10.0.0.1"}, {"Remote-User": "ann", "X-Forwarded-For": "6.6.6.6"}, 200, "6.6.6.6"),
        ({"PROXY_SECRET": SECRET}, {"X-Forwarded-For": "6.6.6.6"}, 200, "10.0.0.1"),
        ({"PROXY_SECRET": SECRET}, {"X-Radar-Proxy-Secret": SECRET, "X-Forwarded-For": "6.6.6.6"}, 200, "6.6.6.6"),
        ({"USER_HEADER": "Remote-User", "PROXY_SECRET": SECRET}, {"Remote-User": "ann"}, 403, ""),
        (
            {"USER_HEADER": "Remote-User", "PROXY_SECRET": SECRET},
            {"Remote-User": "ann", "X-Radar-Proxy-Secret": SECRET},
            200,
            "10.0.0.1",
        ),
    ],
)
def test_what_is_believed_depends_on_the_settings(
    settings: dict[str, str], headers: dict[str, str], status: int, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"RADAR_UI_{name}", value)
    seen: list[Scope] = []

    def admit(person: OutsidePerson, _address: str) -> Principal:
        return Principal("user", person.subject, person.name, Role.VIEWER)

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask() -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": raw,
            "client": ("10.0.0.1", 1),
        }
        await Proxied(load_settings(), admit).around(app)(scope, receive, send)
        return sent[0]["status"]

    assert asyncio.run(ask()) == status
    assert [scope["client"][0] for scope in seen] == ([client] if client else [])
    assert not any(name == b"x-radar-proxy-secret" for scope in seen for name, _ in scope["headers"])
