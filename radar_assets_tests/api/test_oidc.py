"""Login at an OpenID provider, which runs as a server of its own, and attacks on it."""

import json
import re
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import requests

from radar_assets.access.audit import list_entries, verify
from radar_assets.access.outside_logins import link_user, oidc_subject
from radar_assets.access.roles import Role
from radar_assets.access.users import add_user, disable_user, enable_user, list_users
from radar_assets.api.login import HOME
from radar_assets.api.oidc import CALLBACK
from radar_assets.store.database import Store
from radar_assets.store.models import Project, User
from radar_assets_tests.api.conftest import UI, radar_serving
from radar_assets_tests.api.gates import HTML
from radar_assets_tests.api.openid import CLIENT, SECRET, OpenIDProvider, openid_provider
from radar_assets_tests.processes import free_port

ANN = {
    "sub": "1",
    "preferred_username": "ann",
    "email": "ann@shop.example",
    "email_verified": True,
    "groups": ["staff", "other"],
}
ROLES = '{"staff": "operator", "shop-team": "admin:shop,gone", "lost": "admin:gone"}'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UI, Store, OpenIDProvider]]:
    """A server, its store, and the provider whose people log in to it."""
    folder, port = tmp_path_factory.mktemp("oidc"), free_port()
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    with openid_provider() as provider, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "HOME": folder / "home",
            "UI_URL": f"http://127.0.0.1:{port}/",
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": CLIENT,
            "OIDC_CLIENT_SECRET_FILE": secret,
            "OIDC_NAME": "Shop <ID>",
            "OIDC_DOMAINS": "shop.example, mail.example",
            "LOGIN_ROLES": ROLES,
        }.items():
            environment.setenv(f"RADAR_{name}", str(value))
        with radar_serving(folder, port) as (ui, store):
            with store.session() as session:
                session.add(Project("shop"))
            yield ui, store, provider


@pytest.fixture
def ui(served: tuple[UI, Store, OpenIDProvider]) -> UI:
    """The server."""
    return served[0]


@pytest.fixture
def store(served: tuple[UI, Store, OpenIDProvider]) -> Store:
    """Its store."""
    return served[1]


@pytest.fixture
def provider(served: tuple[UI, Store, OpenIDProvider]) -> OpenIDProvider:
    """The provider, which is honest again."""
    found = served[2]
    found.person, found.lies, found.about, found.userinfo = dict(ANN), {}, {}, {}
    found.algorithm, found.status = "RS256", 0
    return found


class Browser:
    """A browser without pages: it keeps cookies."""

    def __init__(self, ui: UI) -> None:
        self.ui, self.cookies = ui, SimpleCookie()

    def get(self, target: str) -> tuple[int, dict[str, str], str]:
        """Follow a link of another site."""
        sent = "; ".join(f"{name}={cookie.value}" for name, cookie in self.cookies.items() if cookie.value)
        navigation = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        status, headers, text = self.ui.request("GET", target, headers={**HTML, **navigation, "Cookie": sent})
        for part in re.split(r", (?=radar)", headers.get("set-cookie", "")):
            self.cookies.load(part)
        return status, headers, text

    def begin(self, next: str = "/runs") -> str:
        """Begin a login. Returns the address at the provider."""
        status, headers, text = self.get(f"/login/oidc?{urlencode({'next': next})}")
        assert status == 303, text
        return headers["location"]

    def log_in(self, next: str = "/runs") -> tuple[int, dict[str, str], str]:
        """Log in, by way of the provider."""
        return self.get(callback(self.begin(next)))

    @property
    def session(self) -> str:
        """The secret of the session; empty if there is none."""
        return self.cookies["radar_session"].value if "radar_session" in self.cookies else ""

    def sees(self, text: str) -> bool:
        """Whether the jobs page has a text."""
        return text in self.get(HOME)[2]


def callback(address: str) -> str:
    """The target that the provider sends the browser back to."""
    location = requests.get(address, allow_redirects=False, timeout=60).headers["Location"]
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"


def refused(answer: tuple[int, dict[str, str], str], browser: Browser, reason: str, status: int = 403) -> bool:
    """Whether a login was refused for a reason."""
    assert answer[0] == status, answer[2]
    assert reason in re.sub("&#39;", "'", answer[2]), answer[2]
    return not browser.session


def users(store: Store) -> dict[str, User]:
    """The users by name."""
    return {user.name: user for user in list_users(store)}


def test_a_person_logs_in_and_becomes_a_user(ui: UI, store: Store, provider: OpenIDProvider) -> None:
    text = ui.request("GET", "/login?next=/runs%3Fa%3D1", headers=HTML)[2]
    assert '<a class="button" href="/login/oidc?next=/runs%3Fa%3D1">Log in with Shop &lt;ID&gt;</a>' in text
    browser = Browser(ui)
    address = browser.begin("/runs?a=1")
    asked = dict(parse_qsl(urlsplit(address).query))
    assert asked["redirect_uri"] == f"{ui.url}{CALLBACK}"
    assert (asked["response_type"], asked["code_challenge_method"], asked["tenant"]) == ("code", "S256", "1")
    assert browser.cookies["radar_oidc"]["httponly"]
    status, headers, _ = browser.get(callback(address))
    assert (status, headers["location"]) == (303, "/runs?a=1")
    assert browser.sees("ann (operator)")
    user = users(store)["ann"]
    assert (user.password_hash, user.oidc_subject) == (None, f"{provider.issuer} 1")
    login, added = list_entries(store, limit=2)
    assert (login.action, json.loads(login.details)["way"], login.principal_name) == ("login", "oidc", "ann")
    assert (added.action, added.object, json.loads(added.details)["role"]) == ("user.add", "ann", "operator")
    assert verify(store) is None


def test_the_role_is_that_of_the_groups_at_each_login(ui: UI, store: Store, provider: OpenIDProvider) -> None:
    browser = Browser(ui)
    provider.person["groups"] = ["shop-team", "staff"]
    browser.log_in()
    assert (users(store)["ann"].role, users(store)["ann"].projects) == ("admin", ["shop"])
    assert list_entries(store, limit=2)[1].action == "user.set_role"
    provider.person["groups"] = "staff"
    before = browser.session
    browser.log_in()
    assert (users(store)["ann"].role, users(store)["ann"].projects) == ("operator", None)
    assert browser.session != before, "a login begins a new session"
    assert ui.request("GET", HOME, headers={"Cookie": f"radar_session={before}"})[0] == 401, "and ends the other one"
    for groups in ([], ["other"], None, 7, {"staff": 1}):
        provider.person["groups"] = groups
        browser = Browser(ui)
        assert refused(browser.log_in(), browser, "None of your groups has a role here")
    provider.person["groups"] = ["lost"]
    assert refused(browser.log_in(), browser, "don't exist")


def test_a_disabled_user_stays_out(ui: UI, store: Store, provider: OpenIDProvider) -> None:
    browser = Browser(ui)
    browser.log_in()
    assert browser.sees("ann (operator)")
    disable_user(store, "ann")
    assert browser.get(HOME)[1]["location"].startswith("/login")
    other = Browser(ui)
    assert refused(other.log_in(), other, "Your user is disabled")
    assert list_entries(store, limit=1)[0].result == "refused"
    enable_user(store, "ann")
    other.log_in()
    assert other.sees("ann (operator)")


def test_the_name_of_another_user_is_not_taken_over(ui: UI, store: Store, provider: OpenIDProvider) -> None:
    add_user(store, "Boss", "correct horse battery", Role.ADMIN)
    provider.person |= {"sub": "2", "preferred_username": "boss"}
    browser = Browser(ui)
    assert refused(browser.log_in(), browser, "There is a user boss already")
    provider.person["preferred_username"] = "ann"
    assert refused(browser.log_in(), browser, "There is a user ann already"), "also not that of another person there"
    provider.person |= {"preferred_username": "boss"}
    link_user(store, "Boss", oidc_subject(provider.issuer, "2"))
    browser.log_in()
    assert browser.sees("Boss (operator)")
    assert users(store)["Boss"].password_hash, "the password stays"


def test_a_renamed_person_stays_the_same_user(ui: UI, store: Store, provider: OpenIDProvider) -> None:
    browser = Browser(ui)
    browser.log_in()
    provider.person |= {"preferred_username": "anna", "email": "anna@mail.example"}
    browser.log_in()
    assert browser.sees("ann (operator)")
    assert "anna" not in users(store)


@pytest.mark.parametrize(
    "person",
    [
        {"email": "ann@evil.example"},
        {"email": "ann@shop.example.evil.example"},
        {"email": "ann@shop.example", "email_verified": False},
        {"email": "ann@shop.example", "email_verified": "true"},
        {"email": None},
    ],
)
def test_only_verified_addresses_of_the_domains_log_in(ui: UI, provider: OpenIDProvider, person: dict) -> None:
    provider.person |= person
    browser = Browser(ui)
    assert refused(browser.log_in(), browser, "none of the domains")


def test_claims_are_also_read_from_the_userinfo_of_the_same_person(ui: UI, provider: OpenIDProvider) -> None:
    provider.userinfo = {**ANN}
    provider.person = {"sub": "1"}
    browser = Browser(ui)
    browser.log_in()
    assert browser.sees("ann (operator)")
    provider.userinfo["sub"] = "3"
    browser = Browser(ui)
    provider.about = {}
    assert refused(browser.log_in(), browser, "another person", 502)


@pytest.mark.parametrize(
    ("lies", "reason"),
    [
        ({"nonce": "other"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another"}, "aud"),
        ({"aud": ["another"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": [CLIENT, "another"]}, "another application"),
        ({"azp": "another"}, "another application"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"exp": int(time.time()) - 3600}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"iat": int(time.time()) + 10**9}, "in the future"),
        ({"iat": None}, "iat"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
    ],
)
def test_a_token_that_is_not_for_this_login_is_refused(
    ui: UI, provider: OpenIDProvider, lies: dict, reason: str
) -> None:
    provider.lies = lies
    browser = Browser(ui)
    answer = browser.log_in()
    assert refused(answer, browser, reason)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_without_a_signature_of_the_provider_is_refused(
    ui: UI, provider: OpenIDProvider, algorithm: str
) -> None:
    provider.algorithm = algorithm
    browser = Browser(ui)
    assert refused(browser.log_in(), browser, "ID token is not valid", 502)


def test_a_token_of_other_keys_is_refused(ui: UI, provider: OpenIDProvider) -> None:
    browser, known = Browser(ui), provider.rsa
    browser.log_in()
    forged = OpenIDProvider()
    forged.rsa.dict_value["kid"] = known.kid or ""
    browser = Browser(ui)
    address = browser.begin()
    target = callback(address)
    provider.signed = forged.signed  # type: ignore[method-assign]
    try:
        assert refused(browser.get(target), browser, "ID token is not valid", 502)
    finally:
        del provider.signed


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_keys_can_be_rotated_at_any_moment(ui: UI, provider: OpenIDProvider, algorithm: str) -> None:
    provider.algorithm = algorithm
    browser = Browser(ui)
    browser.log_in()
    provider.rotate()
    provider.requests.clear()
    browser = Browser(ui)
    browser.log_in()
    assert browser.sees("ann (operator)")
    assert provider.requests.count("/keys") == 1
    browser.log_in()
    assert provider.requests.count("/keys") == 1, "keys are kept"


def test_a_callback_works_once(ui: UI, provider: OpenIDProvider) -> None:
    browser = Browser(ui)
    target = callback(browser.begin())
    kept = SimpleCookie(browser.cookies.output(header="", sep=";"))
    assert browser.get(target)[0] == 303
    assert not browser.cookies["radar_oidc"].value, "the cookie is used up"
    thief = Browser(ui)
    thief.cookies = kept
    assert refused(thief.get(target), thief, "has ended already")
    fresh = Browser(ui)
    state = dict(parse_qsl(urlsplit(fresh.begin()).query))["state"]
    code = dict(parse_qsl(urlsplit(target).query))["code"]
    assert refused(fresh.get(f"{CALLBACK}?{urlencode({'code': code, 'state': state})}"), fresh, "invalid_grant")


def test_a_code_of_another_login_is_refused_by_its_challenge(ui: UI, provider: OpenIDProvider) -> None:
    """An attacker plants a code of their own login in the browser of the victim, or the other way round."""
    attacker, victim = Browser(ui), Browser(ui)
    code = dict(parse_qsl(urlsplit(callback(attacker.begin())).query))["code"]
    state = dict(parse_qsl(urlsplit(victim.begin()).query))["state"]
    assert refused(victim.get(f"{CALLBACK}?{urlencode({'code': code, 'state': state})}"), victim, "invalid_grant")


def test_a_state_of_another_browser_is_refused(ui: UI, provider: OpenIDProvider) -> None:
    attacker, victim, fresh = Browser(ui), Browser(ui), Browser(ui)
    target = callback(attacker.begin())
    victim.begin()
    assert refused(victim.get(target), victim, "another window or browser")
    assert refused(fresh.get(target), fresh, "another browser")
    fresh.cookies.load("radar_oidc=made.up.value")
    assert refused(fresh.get(target), fresh, "another browser")
    assert provider.codes, "the code was not redeemed"


def test_a_preview_of_the_callback_uses_nothing_up(ui: UI, provider: OpenIDProvider) -> None:
    browser = Browser(ui)
    target = callback(browser.begin())
    cookie = {"Cookie": f"radar_oidc={browser.cookies['radar_oidc'].value}"}
    assert ui.request("HEAD", target, headers=cookie)[0] == 403
    assert browser.get(target)[0] == 303


def test_refusals_and_other_issuers_are_shown_as_text(ui: UI, provider: OpenIDProvider) -> None:
    for more, reason in (
        ({"error": "<b>no"}, "&lt;b&gt;no"),
        ({"iss": "https://evil.example"}, "another provider"),
        ({}, "no code"),
    ):
        browser = Browser(ui)
        state = dict(parse_qsl(urlsplit(browser.begin()).query))["state"]
        assert refused(browser.get(f"{CALLBACK}?{urlencode({'state': state, **more})}"), browser, reason)


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/login/oidc", ""])
def test_no_login_leads_to_another_site(ui: UI, provider: OpenIDProvider, target: str) -> None:
    assert Browser(ui).log_in(target)[1]["location"] == HOME


def test_a_login_begins_at_the_public_address(ui: UI, provider: OpenIDProvider) -> None:
    elsewhere = {"Host": f"localhost:{ui.port}"}
    status, headers, _ = ui.request("GET", "/login/oidc?next=//evil.example", headers=elsewhere)
    moved = f"{ui.url}/login/oidc?next={quote(HOME, safe='')}&moved=1"
    assert (status, headers["location"]) == (303, moved)
    assert "evil" not in ui.request("GET", "/login/oidc?moved=1", headers=elsewhere)[1]["location"]


@pytest.mark.parametrize("status", [500, 404])
def test_while_the_provider_is_out_of_order_passwords_still_work(
    ui: UI, store: Store, provider: OpenIDProvider, status: int
) -> None:
    browser = Browser(ui)
    target = callback(browser.begin())
    provider.status = status
    expected = {500: (503, 403, 502, 503), 404: (502, 403, 502, 503)}[status]
    answer = browser.get(target)
    assert answer[0] in expected
    assert not browser.session
    assert "Log in" in answer[2]
    token = browser.cookies["radar_login"].value
    if "eve" not in users(store):
        add_user(store, "eve", "correct horse battery")
    body = urlencode({"name": "eve", "password": "correct horse battery", "form_token": token})
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"radar_login={token}"}
    assert ui.request("POST", "/login", body, form)[0] == 303
