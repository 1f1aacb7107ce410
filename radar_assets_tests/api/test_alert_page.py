"""The pages of alerts and the signed links of messages, over HTTP and in a browser without JavaScript."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import sync_playwright
from starlette.applications import Starlette

from radar_assets.access.projects import add_project
from radar_assets.access.roles import Principal, Role
from radar_assets.alerts.ledger import record
from radar_assets.alerts.links import Links, link_key
from radar_assets.alerts.rendering import render
from radar_assets.api.alert_page import AlertPages, alert_routes
from radar_assets.api.app import RadarApp
from radar_assets.api.guard import guarded
from radar_assets.api.identity import Identities
from radar_assets.messaging.channels.email import html
from radar_assets.messaging.message import Draft
from radar_assets.metrics.registry import STANDARD_METRICS
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import Store, open_store
from radar_assets.store.models import Alert, AlertRule, Project
from radar_assets.tables import open_lakehouse
from radar_assets.windows import HOUR, Window, utc_now
from radar_assets_tests.alerts.records import alerts, context, deliveries, judged, rule
from radar_assets_tests.api.conftest import UI, listening
from radar_assets_tests.browser import FLAGS
from radar_assets_tests.programs import CHROMIUM, needs_chromium

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PEOPLE = {
    **{role.value: Principal("user", f"{role}-1", f"the {role}", role) for role in Role},
    "tenant": Principal("user", "4", "the tenant", Role.OPERATOR, frozenset({"shop"})),
    "reader": Principal("user", "5", "the reader", Role.VIEWER, frozenset({"shop"})),
    "stranger": Principal("user", "6", "the stranger", Role.ADMIN, frozenset({"nothing"})),
}


@dataclass
class Pages:
    """A running server with the pages, its store, and what it recorded."""

    ui: UI
    store: Store
    settings: Settings
    recorded: list[dict[str, Any]] = field(default_factory=list)

    def get(self, who: str, path: str) -> tuple[int, dict[str, str], str]:
        return self.ui.request("GET", path, headers=self._headers(who))

    def post(self, who: str, path: str, **fields: str) -> tuple[int, dict[str, str], str]:
        return self.ui.request("POST", path, urlencode(fields), {**self._headers(who), **FORM})

    def form_token(self, who: str, alert: Alert) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get(who, f"/radar/alerts/{alert.id}")[2])
        assert found
        return found[1]

    def link(self, alert: Alert, action: str) -> str:
        """The path of a signed link, as in the mail about an alert."""
        links = Links(self.ui.url, link_key(self.settings.home))
        row = next(row for row in deliveries(self.store) if row.thread_id == f"alert-{alert.id}")
        mail = html("team", render(Draft(row.id, row.kind, row.contents, row.created_at, "team"), links=links))
        label = {"ack": "Acknowledge", "snooze": "Snooze for 4 h"}[action]
        found = re.search(rf'<a href="([^"]+)"[^>]*>{label}</a>', mail)
        assert found
        return unescape(found[1]).removeprefix(self.ui.url)

    def alert(self, project: str) -> Alert:
        return next(alert for alert in alerts(self.store) if alert.project_id == project)

    def _headers(self, who: str) -> dict[str, str]:
        session = {} if who == "nobody" else {"Cookie": f"radar_session=session-{who}"}
        return {"Accept": "text/html", **session}


@pytest.fixture
def pages(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    """A server on a home with an alert of each of two projects, and one of the platform."""
    monkeypatch.setenv("RADAR_HOME", str(tmp_path / "home"))
    settings = load_settings().prepare()
    store = open_store(settings.database)
    hour = Window.of_hour(utc_now() - HOUR)
    rules = [
        rule(description="Too many <errors>."),
        rule(name="runs_fail", kind="error", metric=None, watch="failed_runs"),
    ]
    with store.session() as session:
        session.add_all(
            AlertRule(name=one.name, position=place, spec=one.model_dump(mode="json", by_alias=True))
            for place, one in enumerate(rules)
        )
    for project in ("shop", "other"):
        add_project(store, Project(id=project, name=f"The {project}", timezone="UTC"))
    for project, by in (("shop", rules[0]), ("other", rules[0]), ("", rules[1])):
        findings = judged(by, {}, project)
        from radar_assets.alerts.findings import Breach, Findings

        subject = "" if project else "hourly_job"
        breach = Breach(project, hour, hour.start, 50, 10, subject=subject, text="" if project else "a run failed")
        found = Findings(by, {(project, subject): [hour]}, [breach], findings.asked, {}, {})
        record(store, found, context(utc_now(), project_names={"shop": "The shop", "other": "The other"}))
    recorded: list[dict[str, Any]] = []

    def write(principal: Principal | None, action: str, target: str, **more: Any) -> None:
        recorded.append({"who": principal and principal.name, "action": action, "target": target, **more})

    sessions = {f"session-{name}": principal for name, principal in PEOPLE.items()}
    identities = Identities({}.get, sessions.get)
    routes = alert_routes(AlertPages(store, open_lakehouse(settings), lambda: STANDARD_METRICS, settings))
    # The Dagster UI has no part in these pages.
    app = RadarApp(Starlette(), identities, write, routes)
    with ExitStack() as stack:
        ui = stack.enter_context(listening(guarded(app, settings, "127.0.0.1"), UI(None, "")))  # pyright: ignore
        yield Pages(ui, store, settings, recorded)
    store.close()


def test_the_list_has_the_alerts_of_the_readers_projects(pages: Pages) -> None:
    for who, shown in (("viewer", {"shop", "other", ""}), ("reader", {"shop"}), ("stranger", set())):
        status, _, text = pages.get(who, "/radar/alerts")
        assert status == 200
        for project in ("shop", "other", ""):
            assert (pages.alert(project).id in text) == (project in shown), (who, project)
        assert ("The other" in text) == ("other" in shown)
    assert pages.get("nobody", "/radar/alerts")[0] == 303


def test_the_list_is_filtered_by_state_and_project(pages: Pages) -> None:
    shop, other = pages.alert("shop"), pages.alert("other")
    assert other.id not in pages.get("viewer", "/radar/alerts?project=shop")[2]
    assert shop.id in pages.get("viewer", "/radar/alerts?project=shop&state=unacknowledged")[2]
    pages.post("operator", f"/radar/alerts/{shop.id}/ack", form_token=pages.form_token("operator", shop))
    assert shop.id not in pages.get("viewer", "/radar/alerts?state=unacknowledged")[2]
    assert shop.id in pages.get("viewer", "/radar/alerts?state=all")[2]
    assert "No alerts." in pages.get("viewer", "/radar/alerts?state=ended")[2]
    # A filter never shows what the role doesn't.
    assert other.id not in pages.get("reader", "/radar/alerts?project=other&state=all")[2]
    assert pages.get("viewer", "/radar/alerts?state=%22&start=-1&project=%3Cb%3E")[0] == 200


def test_a_page_is_only_for_those_who_have_a_role_for_its_project(pages: Pages) -> None:
    for project, allowed in (
        ("shop", {"viewer", "operator", "admin", "tenant", "reader"}),
        ("other", {"viewer", "operator", "admin"}),
        ("", {"viewer", "operator", "admin"}),
    ):
        alert = pages.alert(project)
        for who in PEOPLE:
            for path in (f"/radar/alerts/{alert.id}", f"/radar/alerts/{alert.id[:8]}"):
                status, _, text = pages.get(who, path)
                expected = 200 if who in allowed and path.endswith(alert.id) else 404
                assert status == expected, (project, who, path)
                assert ("The " + project in text) == (expected == 200 and bool(project)) or not project
        assert pages.get("nobody", f"/radar/alerts/{alert.id}")[0] == 303
        assert pages.get("stranger", f"/radar/alerts/{alert.id}/chart.png")[0] == 404


def test_a_page_says_what_the_message_says_and_what_happened(pages: Pages) -> None:
    alert = pages.alert("shop")
    status, headers, text = pages.get("viewer", f"/radar/alerts/{alert.id}")
    assert status == 200
    assert "The shop: 50 errors, above 10" in text
    assert "Too many &lt;errors&gt;." in text
    assert 'href="/assets/hourly_metrics?view=checks&amp;checkDetail=errors_high"' in text
    assert "Announced" in text and "<td>chat</td>" in text and "<td>fired</td>" in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"] and "<script" not in text
    assert headers["referrer-policy"] == "same-origin"
    assert "Acknowledge</button>" not in text
    assert "Acknowledge</button>" in pages.get("tenant", f"/radar/alerts/{alert.id}")[2]


def test_operators_acknowledge_and_snooze(pages: Pages) -> None:
    alert = pages.alert("shop")
    for action in ("ack", "snooze"):
        path = f"/radar/alerts/{alert.id}/{action}"
        token = pages.form_token("tenant", alert)
        assert pages.post("tenant", path)[0] == 403  # without the token of the session
        assert pages.post("reader", path, form_token=pages.form_token("reader", alert))[0] == 403
        assert pages.post("nobody", path)[0] == 303
        assert pages.post("tenant", path, form_token=token)[0] == 303
        assert pages.post("tenant", path, form_token=token)[0] == 303
    after = pages.alert("shop")
    assert after.acknowledged_by == "the tenant"
    assert after.snoozed_until
    assert "acknowledged by the tenant" in pages.get("viewer", f"/radar/alerts/{alert.id}")[2]
    done = [(line["who"], line["action"], line["target"]) for line in pages.recorded if line["result"] == "allowed"]
    assert done == [("the tenant", f"alert.{action}", alert.id) for action in ("acknowledge", "snooze")]


def test_no_one_acts_on_alerts_of_other_projects(pages: Pages) -> None:
    for project in ("other", ""):
        path = f"/radar/alerts/{pages.alert(project).id}/ack"
        token = pages.form_token("tenant", pages.alert("shop"))
        assert pages.post("tenant", path, form_token=token)[0] == 404
        assert pages.alert(project).acknowledged_at is None


def test_opening_a_link_changes_nothing_and_confirming_it_acts_once(pages: Pages) -> None:
    alert = pages.alert("shop")
    for action in ("ack", "snooze"):
        path = pages.link(alert, action)
        before = pages.alert("shop")
        for method in ("GET", "HEAD"):
            assert pages.ui.request(method, path)[0] == 200
        after = pages.alert("shop")
        assert (after.acknowledged_at, after.snoozed_until) == (before.acknowledged_at, before.snoozed_until)
        status, headers, _ = pages.post("nobody", path)
        assert (status, headers["location"]) == (303, path)
        done = pages.alert("shop")
        assert pages.post("nobody", path)[0] == 303
        assert pages.alert("shop").updated_at == done.updated_at
        assert "The alert is " in pages.get("nobody", path)[2]
    assert done.acknowledged_by == "a link sent to team"
    assert done.snoozed_until
    assert [(line["who"], line["action"], line["details"]) for line in pages.recorded] == [
        ("a link sent to team", "alert.acknowledge", {"link_sent_to": "team"}),
        ("a link sent to team", "alert.snooze", {"link_sent_to": "team"}),
    ]


def test_a_link_that_is_changed_does_nothing(pages: Pages) -> None:
    path = pages.link(pages.alert("shop"), "ack")
    for target in (path[:-2], path + "x", "/radar/alerts/link/x", "/radar/alerts/link/"):
        assert pages.get("nobody", target)[0] in (303, 404)
        assert pages.post("nobody", target)[0] in (303, 404)
    assert pages.alert("shop").acknowledged_at is None
    assert pages.recorded == []


def test_pages_of_other_origins_cannot_submit_a_link(pages: Pages) -> None:
    path = pages.link(pages.alert("shop"), "ack")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert pages.ui.request("POST", path, "", {**FORM, **headers})[0] == 403
    assert pages.alert("shop").acknowledged_at is None


@needs_chromium
def test_an_alert_is_acknowledged_from_the_mail_without_javascript(pages: Pages) -> None:
    alert = pages.alert("shop")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            tab = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 700}).new_page()
            tab.goto(pages.ui.url + pages.link(alert, "ack"))
            assert tab.get_by_role("heading", level=1).inner_text() == "The shop: 50 errors, above 10"
            assert pages.alert("shop").acknowledged_at is None
            # By keyboard alone: past the skip link, to the only button.
            tab.get_by_role("button", name="Acknowledge").focus()
            tab.keyboard.press("Enter")
            tab.get_by_role("status").wait_for()
            assert tab.get_by_role("status").inner_text() == "The alert is acknowledged."
            assert pages.alert("shop").acknowledged_by == "a link sent to team"
            assert tab.get_by_role("button").count() == 0
        finally:
            browser.close()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_pages_fit_the_screen_and_load_nothing_from_elsewhere(pages: Pages, scheme: Any, width: int) -> None:
    alert = pages.alert("shop")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
            context.add_cookies([{"name": "radar_session", "value": "session-operator", "url": pages.ui.url}])
            tab = context.new_page()
            problems: list[str] = []
            tab.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
            for path in ("/radar/alerts", f"/radar/alerts/{alert.id}", pages.link(alert, "snooze")):
                tab.goto(pages.ui.url + path)
                assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
                assert tab.locator("html").get_attribute("lang") == "en"
                assert tab.get_by_role("heading", level=1).count() == 1
            # The home has no values, so the chart of the alert can't be drawn.
            assert [text for text in problems if "404" not in text] == []
        finally:
            browser.close()
