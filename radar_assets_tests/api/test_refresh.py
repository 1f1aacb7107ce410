"""The jobs page keeps itself current in a browser, without taking anything away from whoever reads it, and shows durations."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import time_machine
from playwright.sync_api import Browser, Page, sync_playwright

from radar_assets.access.browser_sessions import make_login_link
from radar_assets.api.run_history import usual_duration
from radar_assets.settings import load_settings
from radar_assets_tests.api.conftest import PATIENCE_S
from radar_assets_tests.api.gates import HTML, Gate, gated
from radar_assets_tests.api.test_login import FLAGS
from radar_assets_tests.programs import CHROMIUM, needs_chromium

PERIOD_S = 15
"""How often the page refreshes."""
SUBJECT = "broken_job"
KINDS = dg.DagsterEventType


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server whose jobs have partitions or fail."""
    folder = tmp_path_factory.mktemp("refresh")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RADAR_HOME", str(folder / "home"))
        with gated(load_settings().prepare(), folder, "radar_assets_tests.dated_jobs") as gate:
            yield gate


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield running
        running.close()


@pytest.fixture
def page(gate: Gate, browser: Browser) -> Iterator[Page]:
    """The jobs page of an admin, whose clock goes on by itself or when a test moves it. It must not complain about anything."""
    with browser.new_context(viewport={"width": 900, "height": 300}) as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        page, complaints = context.new_page(), list[str]()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.clock.install()
        page.goto(f"{gate.ui.url}/login/link?secret={make_login_link(gate.accounts.store)}")
        yield page
    assert complaints == []


def run(gate: Gate, took: timedelta, kind: dg.DagsterEventType = KINDS.RUN_SUCCESS, job: str = SUBJECT) -> str:
    """A run that has just ended, after that time. Returns its id."""
    run, now = dg.DagsterRun(job), datetime.now(UTC)
    with time_machine.travel(now - took, tick=False):
        gate.ui.instance.add_run(run)
        for each in (KINDS.RUN_STARTING, KINDS.RUN_START):
            gate.ui.instance.report_dagster_event(dg.DagsterEvent(each.value, job), run.run_id)
    gate.ui.instance.report_dagster_event(dg.DagsterEvent(kind.value, job), run.run_id)
    return run.run_id


def run_apart(gate: Gate, minutes: float, kind: dg.DagsterEventType = KINDS.RUN_SUCCESS) -> str:
    """Like `run`, not in this thread, which runs the event loop of the browser's driver."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(run, gate, timedelta(minutes=minutes), kind).result()


def loads(gate: Gate) -> int:
    return sum(path.startswith("/radar/jobs?") for path in gate.ui.arrived)


def let_pass(page: Page, seconds: float) -> None:
    """Move the clock of a page."""
    page.clock.run_for(int(seconds * 1000))


@needs_chromium
def test_a_new_run_appears_by_itself_and_focus_scroll_position_and_nodes_stay(gate: Gate, page: Page) -> None:
    for _ in range(3):
        run_apart(gate, 1)
    page.reload()
    button = page.get_by_role("link", name=f"Run {SUBJECT} now")
    page.evaluate("scrollTo(0, 120)")
    button.focus()
    top = button.evaluate("link => { window.link = link; return link.getBoundingClientRect().top }")
    assert page.evaluate("scrollY") > 0
    page.evaluate("window.oldest = document.querySelector('#jobs-broken_job .history li')")
    failed = run_apart(gate, 2, KINDS.RUN_FAILURE)
    let_pass(page, PERIOD_S)
    page.locator(f"#failed-{failed}").wait_for()
    page.locator(f"#jobs-{SUBJECT}-{failed}").wait_for()
    assert page.evaluate("document.activeElement === window.link")
    assert abs(button.evaluate("link => link.getBoundingClientRect().top") - top) < 2, "it stays where it was read"
    assert page.evaluate("window.oldest.isConnected && window.oldest === document.querySelector('.history li')")
    shown = page.locator(f"#jobs-{SUBJECT} .history li").evaluate_all("items => items.map(item => item.id)")
    assert len(shown) == len(set(shown)) == 4
    with ThreadPoolExecutor() as pool:
        fresh = pool.submit(gate.request, "admin", "GET", "/radar/jobs", None, HTML).result()[2]
    patched, loaded = page.evaluate(
        """(fresh) => {
        const loaded = new DOMParser().parseFromString(fresh, "text/html");
        const without = (root) => [...root.querySelectorAll("#content > section")].map((each) => each.outerHTML);
        return [without(document), without(loaded)];
        }""",
        fresh,
    )
    assert patched == loaded


@needs_chromium
def test_the_focus_stays_in_its_job_if_the_focused_run_leaves_the_page(gate: Gate, page: Page) -> None:
    for _ in range(20):
        run_apart(gate, 1)
    page.reload()
    page.locator(f"#jobs-{SUBJECT} .history li a").first.focus()
    newest = run_apart(gate, 1)
    let_pass(page, PERIOD_S)
    page.locator(f"#jobs-{SUBJECT}-{newest}").wait_for()
    assert page.evaluate("document.activeElement.closest('.item').id") == f"jobs-{SUBJECT}"


@needs_chromium
def test_updates_pause_while_someone_wants_it_or_selects_text(gate: Gate, page: Page) -> None:
    let_pass(page, PERIOD_S)
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Pause updates").click()
    before = loads(gate)
    let_pass(page, 10 * PERIOD_S)
    with page.expect_response("**/radar/jobs"):
        page.get_by_role("button", name="Resume updates").click()
    assert loads(gate) == before + 1, "none while paused"
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    let_pass(page, 10 * PERIOD_S)
    with page.expect_response("**/radar/jobs"):
        page.evaluate("getSelection().removeAllRanges()")
        let_pass(page, PERIOD_S)
    assert loads(gate) == before + 2


@needs_chromium
def test_the_page_says_that_it_is_not_updated_once_the_session_has_ended(gate: Gate, page: Page) -> None:
    status = page.locator("#refresh-status")
    assert status.inner_text() == ""
    cookies = page.context.cookies()
    page.context.clear_cookies()
    let_pass(page, PERIOD_S)
    status.filter(has_text="not being updated").wait_for()
    assert page.get_by_role("link", name=f"Run {SUBJECT} now").count() == 1, "what was known stays"
    page.context.add_cookies([{**cookie} for cookie in cookies])  # pyright: ignore[reportArgumentType]
    let_pass(page, PERIOD_S)
    page.locator("#refresh-status:empty").wait_for(state="attached")


@needs_chromium
def test_without_scripts_there_is_a_link_to_reload(gate: Gate, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{gate.ui.url}/login/link?secret={make_login_link(gate.accounts.store)}")
        assert page.get_by_role("button", name="Pause updates").count() == 0
        page.get_by_role("link", name="Reload").click()
        assert page.url == f"{gate.ui.url}/radar/jobs"


def test_only_pages_that_refresh_may_load_scripts(gate: Gate) -> None:
    for path, may in (("/radar/jobs", True), ("/login", False), ("/radar/jobs/broken_job/run", False)):
        status, headers, text = gate.request("admin", "GET", path, None, HTML)
        policy = headers["content-security-policy"]
        assert status == 200
        assert "default-src 'none'" in policy
        assert ("script-src 'self'" in policy, "<script" in text) == (may, may)
        assert "unsafe" not in policy


def test_durations_are_shown_by_height_and_in_words(gate: Gate) -> None:
    job = "dated_job"
    assert usual_duration(gate.ui.instance, job) == ""
    runs = [run(gate, timedelta(minutes=minutes), job=job) for minutes in range(1, 21)]
    assert usual_duration(gate.ui.instance, job) == "10 min (median), 95% within 19 min; 20 runs in 30 days"
    _, _, text = gate.request("viewer", "GET", "/radar/jobs", None, HTML)
    assert "95% within 19 min" in text
    assert "Height: duration, at most 20 min" in text
    for run_id, height in ((runs[0], 1), (runs[9], 5), (runs[19], 10)):
        assert f'<li id="jobs-{job}-{run_id}" class="success tall-{height}">' in text
