"""The guard: requests of programs and of the UI's own pages pass, those of other origins' pages in a real browser do not."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from radar_assets_tests.api.conftest import PATIENCE_S, PUBLIC, UI
from radar_assets_tests.browser import FLAGS, site
from radar_assets_tests.programs import CHROMIUM, needs_chromium

ATTACKS = Path(__file__).with_name("attacks.js")
REBOUND = "evil.example"
"""A name that the browser resolves to this machine, as after DNS rebinding."""

JSON = {"Content-Type": "application/json"}
QUERY = json.dumps({"query": "{ version }"})
MUTATION = "mutation{setConcurrencyLimit(concurrencyKey:%22forged%22,limit:1)}"
NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Host": "localhost:3000", "Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-origin"},
        {"Host": "LOCALHOST", "Origin": "http://localhost"},
        {"Host": "[::1]:3000", "Origin": "http://[::1]:3000"},
        {"Host": "radar.example", "Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1:3000", "Origin": PUBLIC},
    ],
    ids=["program", "charset", "localhost", "case", "ipv6", "proxy that keeps the host", "proxy that does not"],
)
def test_programs_and_the_uis_own_pages_get_responses(ui: UI, headers: dict[str, str]) -> None:
    status, _, body = ui.request("POST", "/graphql", QUERY, {**JSON, **headers})
    assert (status, "version" in body) == (200, True), body


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (421, {"Host": "evil.example"}),
        (421, {"Host": "127.0.0.1.evil.example"}),
        (421, {"Host": "evil.example@127.0.0.1"}),
        (421, {"Host": ""}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://127.0.0.1:1"}),
        (403, {"Origin": "https://127.0.0.1"}),
        (403, {"Origin": "http://radar.example"}),
        (403, {"Origin": "http://localhost:port"}),
        (403, {"Sec-Fetch-Site": "same-site"}),
        (403, {"Sec-Fetch-Site": "cross-site"}),
        (403, NAVIGATION),
        (415, {"Content-Type": "text/plain"}),
        (415, {"Content-Type": "text/plain; application/json"}),
        (415, {"Content-Type": "application/json, text/plain"}),
        (415, {"Content-Type": "multipart/form-data; boundary=application/json"}),
        (415, {"Content-Type": "application/graphql"}),
    ],
    ids=lambda value: " ".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else None,
)
def test_requests_that_other_pages_can_send_are_refused_with_the_reason(
    ui: UI, status: int, headers: dict[str, str]
) -> None:
    refused, _, body = ui.request("POST", "/graphql", QUERY, {**JSON, **headers})
    assert refused == status
    assert ("RADAR_UI_URL" in json.loads(body)["error"]) == (status == 421 or "Origin" in headers)


def test_a_request_with_several_hosts_is_refused(ui: UI, bare_ui: UI) -> None:
    """A server and a proxy in front of it may use different ones."""
    for one, expected in ((ui, 421), (bare_ui, 200)):
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
        connection.putrequest("GET", "/server_info", skip_host=True)
        connection.putheader("Host", "localhost")
        connection.putheader("Host", "evil.example")
        connection.endheaders()
        assert connection.getresponse().status == expected
        connection.close()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", ["/graphql", "/%67raphql", "/graphql/", "/report_asset_materialization/forged"])
def test_only_a_post_of_json_changes_state(ui: UI, method: str, path: str) -> None:
    status, _, _ = ui.request(method, f"{path}?query={MUTATION}")
    assert status in (403, 415) or (method in ("GET", "HEAD") and "report" in path)
    assert "forged" not in ui.pools() | ui.reported()


def test_a_link_on_another_site_opens_the_ui_in_a_window_but_not_in_a_frame(ui: UI) -> None:
    status, headers, body = ui.request("GET", "/runs", headers=NAVIGATION)
    assert (status, 'id="root"' in body) == (200, True)
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert "script-src" in headers["content-security-policy"], "the policy of the UI itself"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    for change in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}):
        assert ui.request("GET", "/runs", headers={**NAVIGATION, **change})[0] == 403


def test_a_program_can_report_asset_events(ui: UI) -> None:
    status, _, _ = ui.request("POST", "/report_asset_materialization/by_a_program", "{}", JSON)
    assert (status, "by_a_program" in ui.reported()) == (200, True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser in which a rebound name leads to this machine."""
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        yield page


def wait_for(page: Page, is_true: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds, while the page keeps running."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(50)


def attack(page: Page, origin: str) -> None:
    """Open a page of that origin, with the attacks."""
    page.goto(origin)
    page.add_script_tag(path=ATTACKS)


def forged(page: Page, ui: UI, prefix: str) -> list[str]:
    """The names of the forged requests, once all have arrived."""
    names = page.evaluate("forge", [ui.url, prefix])
    wait_for(page, lambda: all(any(name in asked for asked in ui.arrived) for name in names), "a request never arrived")
    return names


def effects(ui: UI, names: list[str]) -> set[str]:
    """The names of the forged requests that had an effect."""
    return {name for name in names if name in ui.pools() | ui.reported() or ui.checked(name)}


def is_framed(page: Page, url: str) -> bool:
    """Whether a page can show the UI in a frame."""
    page.evaluate("embed", f"{url}/runs")
    return page.frames[-1].locator("#root").count() > 0


@needs_chromium
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", REBOUND])
def test_a_page_of_another_origin_changes_and_reads_nothing(page: Page, ui: UI, bare_ui: UI, host: str) -> None:
    """The same attempts succeed without the guard, so the test would notice one that got past it."""
    with site("<title>Evil</title><body>") as url:
        attack(page, url.replace("127.0.0.1", host))
        guarded_names, bare_names = forged(page, ui, f"guarded_{host}"), forged(page, bare_ui, f"bare_{host}")
        wait_for(page, lambda: effects(bare_ui, bare_names) == set(bare_names), "not all succeed without the guard")
        assert "a line for the event log" in page.evaluate("follow", [bare_ui.url, ui.run_id])
        assert is_framed(page, bare_ui.url)
        assert page.evaluate("follow", [ui.url, ui.run_id]) == ""
        assert not is_framed(page, ui.url)
    assert "/graphql?followed" in ui.arrived
    assert effects(ui, guarded_names) == set()


@needs_chromium
def test_a_page_of_a_rebound_name_changes_and_reads_nothing(page: Page, ui: UI, bare_ui: UI) -> None:
    """To the browser, a page that it loaded before the rebinding has the UI's origin."""
    for one, name, succeeds in ((bare_ui, "rebound_bare", True), (ui, "rebound_guarded", False)):
        origin = f"http://{REBOUND}:{one.port}"
        attack(page, f"{origin}/server_info")
        page.evaluate("ask", f'mutation{{setConcurrencyLimit(concurrencyKey:"{name}",limit:1)}}')
        assert (one.run_id in page.evaluate("ask", "{runsOrError{... on Runs{results{runId}}}}")) == succeeds
        assert (name in one.pools()) == succeeds
        assert bool(page.evaluate("follow", [origin, one.run_id])) == succeeds


@needs_chromium
def test_the_ui_opens_from_a_link_shows_lineage_and_follows_a_started_run(page: Page, ui: UI) -> None:
    problems: list[str] = []
    page.on("response", lambda response: problems.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    with site(f'<a href="{ui.url}/assets/small?view=lineage">an alert</a>') as elsewhere:
        page.goto(elsewhere)
        page.click("a")
    page.locator("foreignObject").filter(has_text="small").first.wait_for()  # a node of the graph
    before = {run.run_id for run in ui.instance.get_runs()}
    page.get_by_role("button", name="Materialize").first.click()
    wait_for(page, lambda: len(ui.instance.get_runs()) > len(before), "no run was started")
    (run,) = (run for run in ui.instance.get_runs() if run.run_id not in before)
    with page.expect_websocket():
        page.goto(f"{ui.url}/runs/{run.run_id}")
    page.get_by_text("Run queued").first.wait_for()
    ui.instance.report_run_failed(run, "written while the page was open")
    written = page.get_by_text("written while the page was open")

    def is_shown() -> bool:
        # Dagster shows an event of the moment between reading the log and watching it with the next one. The log shows only the
        # rows in view, so many events would push the first one out of it before the page is looked at.
        ui.instance.report_engine_event("written while the page was open", run)
        page.wait_for_timeout(1_000)
        return written.count() > 0

    wait_for(page, is_shown, "the page does not follow the run")
    assert problems == []
