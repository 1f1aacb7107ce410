"""Login by one-time link, sessions, forms and redirects, as browsers use them and as attackers try them."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from urllib.parse import quote, urlencode

import dagster as dg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from radar_assets.access.audit import verify
from radar_assets.access.browser_sessions import make_login_link
from radar_assets.access.roles import Role
from radar_assets.access.tokens import create_token, revoke_token
from radar_assets.access.users import add_user, disable_user
from radar_assets.api.login import HOME, own_path
from radar_assets.settings import load_settings
from radar_assets_tests.api.conftest import PATIENCE_S
from radar_assets_tests.api.gates import HTML, JSON, Gate, gated
from radar_assets_tests.browser import FLAGS, site
from radar_assets_tests.dated_jobs import defs
from radar_assets_tests.programs import CHROMIUM, needs_chromium

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
RUN = "/radar/jobs/broken_job/run"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server whose jobs have partitions or fail."""
    folder = tmp_path_factory.mktemp("login")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        with gated(load_settings().prepare(), folder, "radar_assets_tests.dated_jobs") as gate:
            yield gate


def cookies(headers: dict[str, str]) -> SimpleCookie:
    """The cookies that a response sets."""
    return SimpleCookie(headers.get("set-cookie", "").replace(", radar", "; radar"))


def follow(gate: Gate, headers: dict[str, str] | None = None, **query: str) -> tuple[int, dict[str, str], str]:
    """Open a new link."""
    query = {"secret": make_login_link(gate.accounts.store), **query}
    return gate.ui.request("GET", f"/login/link?{urlencode(query)}", headers=headers)


def session(gate: Gate) -> str:
    """The cookie of a new session."""
    return cookies(follow(gate)[1])["radar_session"].value


def form_token(gate: Gate, cookie: str) -> str:
    """The token of a session's forms."""
    _, _, text = gate.ui.request("GET", RUN, headers={"Cookie": f"radar_session={cookie}"})
    found = re.search(r'name="form_token" value="(\w+)"', text)
    assert found
    return found[1]


def runs(gate: Gate) -> int:
    """How many runs the job has."""
    return len(gate.ui.instance.get_runs(dg.RunsFilter(job_name="broken_job")))


def test_a_link_logs_in_once(gate: Gate) -> None:
    secret = make_login_link(gate.accounts.store)
    assert gate.ui.request("HEAD", f"/login/link?secret={secret}")[0] == 403, "a preview does not use the link up"
    status, headers, _ = gate.ui.request("GET", f"/login/link?secret={secret}")
    assert (status, headers["location"]) == (303, HOME)
    assert headers["referrer-policy"] == "no-referrer"
    cookie = cookies(headers)["radar_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "lax", "/")
    assert gate.ui.request("GET", HOME, headers={"Cookie": f"radar_session={cookie.value}"})[0] == 200
    status, headers, text = gate.ui.request("GET", f"/login/link?secret={secret}")
    assert (status, "was used before" in text) == (403, True)
    assert "radar_session" not in headers["set-cookie"]


@pytest.mark.parametrize("secret", ["", "unknown", "radar_session"])
def test_an_unknown_link_does_not_log_in(gate: Gate, secret: str) -> None:
    assert gate.ui.request("GET", f"/login/link?secret={secret}")[0] == 403


def test_under_https_the_cookie_is_secure_and_bound_to_the_host(gate: Gate) -> None:
    _, headers, _ = follow(gate, {"Host": "radar.example"})
    assert re.search(r"__Host-radar_session=[^;]+; HttpOnly; Path=/; SameSite=lax; Secure", headers["set-cookie"])
    value = re.search(r"__Host-radar_session=([^;]+)", headers["set-cookie"])
    assert value
    public = {"Host": "radar.example", "Cookie": f"radar_session={value[1]}"}
    assert gate.ui.request("GET", HOME, headers=public)[0] == 401, "another site of the domain can set that cookie"
    public["Cookie"] = f"__Host-radar_session={value[1]}"
    assert gate.ui.request("GET", HOME, headers=public)[0] == 200


def test_a_login_ends_the_session_of_the_browser_and_takes_none_that_was_planted(gate: Gate) -> None:
    before = session(gate)
    status, headers, _ = follow(gate, {"Cookie": f"radar_session={before}"})
    after = cookies(headers)["radar_session"].value
    assert status == 303
    assert after not in ("", before)
    assert gate.ui.request("GET", HOME, headers={"Cookie": f"radar_session={before}"})[0] == 401
    _, headers, _ = follow(gate, {"Cookie": "radar_session=planted"})
    assert cookies(headers)["radar_session"].value != "planted"
    assert gate.ui.request("GET", HOME, headers={"Cookie": "radar_session=planted"})[0] == 401


def test_logout_ends_the_session_and_needs_its_form(gate: Gate) -> None:
    cookie = session(gate)
    headers = {**FORM, "Cookie": f"radar_session={cookie}"}
    assert gate.ui.request("POST", "/logout", "", headers)[0] == 403
    assert gate.ui.request("GET", HOME, headers=headers)[0] == 200
    body = urlencode({"form_token": form_token(gate, cookie)})
    status, answer, _ = gate.ui.request("POST", "/logout", body, headers)
    assert (status, answer["location"]) == (303, "/login")
    assert gate.ui.request("GET", HOME, headers=headers)[0] == 401


@pytest.mark.parametrize("token", ["", "0" * 64, "other"])
def test_a_form_without_the_token_of_its_session_starts_nothing(gate: Gate, token: str) -> None:
    cookie = session(gate)
    if token == "other":
        token = form_token(gate, session(gate))
    run_id = "11111111-1111-4111-8111-111111111111"
    body = urlencode({"form_token": token, "run_id": run_id})
    status, _, _ = gate.ui.request("POST", RUN, body, {**FORM, "Cookie": f"radar_session={cookie}"})
    assert (status, runs(gate)) == (403, 0)
    status, _, _ = gate.ui.request("POST", RUN, body, {**JSON, "Cookie": f"radar_session={cookie}"})
    assert status >= 400


def log_in(gate: Gate, name: str, password: str, **cookie: str) -> tuple[int, dict[str, str], str]:
    """Send the login form, as loaded."""
    _, headers, _ = gate.ui.request("GET", "/login", headers=HTML)
    token = cookies(headers)["radar_login"].value
    body = urlencode({"name": name, "password": password, "form_token": token, "next": "/runs"})
    sent = "; ".join(f"{key}={value}" for key, value in {"radar_login": token, **cookie}.items())
    return gate.ui.request("POST", "/login", body, {**FORM, "Cookie": sent})


def test_a_user_logs_in_with_a_password_until_disabled(gate: Gate) -> None:
    store = gate.accounts.store
    assert "radar user add" in gate.ui.request("GET", "/login", headers=HTML)[2]
    assert log_in(gate, "ann", "correct horse battery")[0] == 401
    add_user(store, "ann", "correct horse battery", Role.OPERATOR)
    assert "radar user add" not in gate.ui.request("GET", "/login", headers=HTML)[2]
    status, headers, text = log_in(gate, "ann", "wrong horse battery")
    assert (status, "Wrong name or password" in text, 'value="ann"' in text) == (401, True, True)
    assert "wrong horse" not in text
    status, headers, _ = log_in(gate, "ann", "correct horse battery", radar_session="planted")
    assert (status, headers["location"]) == (303, "/runs")
    cookie = {"Cookie": f"radar_session={cookies(headers)['radar_session'].value}"}
    assert "ann (operator)" in gate.ui.request("GET", HOME, headers=cookie)[2]
    disable_user(store, "ann")
    assert gate.ui.request("GET", HOME, headers=cookie)[0] == 401
    assert log_in(gate, "ann", "correct horse battery")[0] == 401
    results = [line["result"] for line in gate.recorded if line["action"] == "login"]
    assert results[-4:] == ["refused", "refused", "allowed", "refused"]


def test_many_failed_logins_have_to_wait(gate: Gate) -> None:
    statuses = [log_in(gate, "bob", "wrong horse battery")[0] for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert int(log_in(gate, "bob", "wrong horse battery")[1]["retry-after"]) > 0


def test_a_login_form_of_another_browser_is_refused(gate: Gate) -> None:
    add_user(gate.accounts.store, "eve", "correct horse battery", Role.VIEWER)
    fields = {"name": "eve", "password": "correct horse battery"}
    for token, cookie in (("", ""), ("a", ""), ("", "a"), ("a", "b")):
        body = urlencode({**fields, "form_token": token})
        status, headers, _ = gate.ui.request("POST", "/login", body, {**FORM, "Cookie": f"radar_login={cookie}"})
        assert (status, "radar_session" in headers["set-cookie"]) == (403, False)


def test_a_token_of_the_store_is_accepted_until_revoked(gate: Gate) -> None:
    token, row = create_token(gate.accounts.store, "ci", Role.ADMIN, created_by="ann")
    headers = {"Authorization": f"Bearer {token}"}
    status, _, text = gate.ui.request("GET", "/v1/audit?limit=2", headers=headers)
    assert (status, len(json.loads(text)["entries"])) == (200, 2)
    assert verify(gate.accounts.store) is None
    for query in ("limit=0", "limit=1001", "limit=a", "limit=1&limit=2", "before=-1"):
        status, _, text = gate.ui.request("GET", f"/v1/audit?{query}", headers=headers)
        assert (status, json.loads(text)["field"]) == (400, query.partition("=")[0])
    revoke_token(gate.accounts.store, row.id)
    assert gate.ui.request("GET", "/v1/audit", headers=headers)[0] == 401


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.example", "/\\evil.example", "/\t/evil.example", "\\/evil.example", "https://evil.example", "evil"),
        *("/ /evil.example", "///evil.example", "/\x00", "javascript:alert(1)", "", "/login", "/logout", "/\n/evil"),
    ],
)
def test_no_link_leads_to_another_site_after_the_login(gate: Gate, target: str) -> None:
    assert own_path(target) == HOME
    assert follow(gate, next=target)[1]["location"] == HOME


@pytest.mark.parametrize("target", ["/runs/1?a=b#c", "/radar/jobs", "/assets/a%2Fb"])
def test_a_link_leads_on_to_pages_of_the_ui(gate: Gate, target: str) -> None:
    assert follow(gate, next=target)[1]["location"] == target


@pytest.mark.parametrize("path", ["/login", "/radar/jobs", RUN, "/radar/unknown"])
def test_pages_have_no_scripts_but_the_refresh_and_can_not_be_framed(gate: Gate, path: str) -> None:
    cookie = session(gate)
    _, headers, text = gate.ui.request("GET", path, headers={**HTML, "Cookie": f"radar_session={cookie}"})
    assert "<script" not in text.replace('<script src="/radar/refresh.js" defer></script>', "")
    assert not re.search(r"\son\w+=|style=", text)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")


def test_the_token_of_commands_is_only_that_of_this_server(gate: Gate) -> None:
    for token, status in ((gate.accounts.local.token, 200), ("local_", 401), ("", 401)):
        assert gate.ui.request("GET", "/v1/audit", headers={"Authorization": f"Bearer {token}"})[0] == status


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile, in which scripts don't run: Radar's pages work without."""
    with browser.new_context(java_script_enabled=False) as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context


def logged_in(gate: Gate, page: Page) -> Page:
    """Log in by link, and arrive at the jobs page."""
    page.goto(f"{gate.ui.url}/login/link?secret={make_login_link(gate.accounts.store)}")
    assert page.url == f"{gate.ui.url}{HOME}"
    return page


def fail(gate: Gate) -> bool:
    """Run the job that fails. Returns whether it succeeded."""
    job = defs.resolve_job_def("broken_job")
    return job.execute_in_process(instance=gate.ui.instance, raise_on_error=False).success


@needs_chromium
def test_a_job_is_run_from_its_page_and_fails_with_its_error_there(gate: Gate, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{gate.ui.url}/radar/jobs")
    assert page.url == f"{gate.ui.url}/login?next={quote(HOME, safe='')}"
    logged_in(gate, page)
    assert page.get_by_text("Fails <always>.").count() == 1
    assert page.get_by_text("daily at 03:00 UTC").count() == 1
    before = runs(gate)
    page.get_by_role("link", name="Run broken_job now").click()
    page.get_by_role("button", name="Run now").click()
    assert page.url.startswith(f"{gate.ui.url}/runs/")
    assert runs(gate) == before + 1
    (run, *_) = gate.ui.instance.get_runs(dg.RunsFilter(job_name="broken_job"), limit=1)
    assert run.run_id == page.url.rpartition("/")[2]
    assert run.tags["radar/triggered_from"] == "jobs page"
    # Not in this thread, which runs the event loop of the browser's driver.
    with ThreadPoolExecutor() as pool:
        assert not pool.submit(fail, gate).result()
    page.goto(f"{gate.ui.url}/radar/jobs")
    errors = page.locator(".error").all_inner_texts()
    assert any("can't read https://***@example.com/?token=***" in text for text in errors), errors
    assert "second line" not in page.content()
    assert "hunter2" not in page.content()


@needs_chromium
def test_a_partition_that_does_not_exist_is_explained_in_the_form(gate: Gate, context: BrowserContext) -> None:
    page = logged_in(gate, context.new_page())
    page.get_by_role("link", name="Run dated_job now").click()
    assert page.get_by_label("Partition (UTC)").input_value() == "2026-10-31"
    page.get_by_label("Partition (UTC)").fill("2027-01-01")
    page.get_by_role("button", name="Run now").click()
    assert "has no partition '2027-01-01'" in page.get_by_role("alert").inner_text()
    page.get_by_label("Partition (UTC)").fill("2026-02-01")
    page.get_by_label("Last partition").fill("2026-02-03")
    page.get_by_role("button", name="Run now").click()
    (run, *_) = gate.ui.instance.get_runs(dg.RunsFilter(job_name="dated_job"), limit=1)
    assert run.tags["dagster/asset_partition_range_end"] == "2026-02-03"


@needs_chromium
def test_a_page_of_another_site_runs_nothing_with_the_session_of_its_visitor(gate: Gate, browser: Browser) -> None:
    token = ""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        page = logged_in(gate, context.new_page())
        cookie = next(each.get("value", "") for each in context.cookies() if each.get("name") == "radar_session")
        token = form_token(gate, cookie)  # even with the token, which no other page can read
        before = runs(gate)
        fields = f'<input name="form_token" value="{token}"><input name="run_id" value="{"2" * 8}-2222-4222-8222-222222222222">'
        form = f'<form method="post" action="{gate.ui.url}{RUN}">{fields}<button>Win</button></form>'
        with site(f"<title>Evil</title><body>{form}") as url:
            page.goto(url)
            with page.expect_response(lambda response: response.url.endswith(RUN)) as answer:
                page.get_by_role("button", name="Win").click()
            assert answer.value.status == 403
            page.goto(url)
            statuses = page.evaluate(
                """async (url) => { try { const answer = await fetch(url + "/v1/jobs", {credentials: "include"});
                return await answer.text(); } catch { return "refused"; } }""",
                gate.ui.url,
            )
            assert statuses == "refused"
        assert runs(gate) == before
