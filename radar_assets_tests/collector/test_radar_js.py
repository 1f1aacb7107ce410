"""`radar.js` in a real browser on real pages: a visit arrives, and becomes a session with the right pages."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import dagster as dg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from radar_assets.access.keys import create_key
from radar_assets.collector.live import live_counts
from radar_assets.events.contract import is_no_person_id
from radar_assets.settings import Settings
from radar_assets_tests.browser import FLAGS, site
from radar_assets_tests.collector.conftest import Collector, serving
from radar_assets_tests.platform import Platform
from radar_assets_tests.processes import free_port
from radar_assets_tests.programs import CHROMIUM, needs_chromium

PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
PATIENCE_S = 60

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser with its own profile and a user agent, since the default one is that of a bot."""
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A new visitor."""
    with browser.new_context(user_agent=PERSON) as visitor:
        yield visitor


def tagged(collector: Collector, key: str | None = None, options: str = "") -> str:
    """A page with the tag."""
    tag = f'<script defer src="{collector.url}/radar.js" data-key="{key or collector.keys["shop"]}" {options}></script>'
    return f"<title>Shop</title>{tag}"


def wait_for(arrived: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not arrived():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def arrived(collector: Collector, context: BrowserContext, count: int) -> list[dict[str, Any]]:
    """Wait for a number of landed events, in the order in which they happened, then leave the pages."""
    for page in context.pages:
        page.goto("about:blank")
    wait_for(lambda: len(collector.events()) >= count, f"{count} events, not {len(collector.events())}")
    return sorted(collector.events(), key=lambda event: event["timestamp"])


def through_the_graph(settings: Settings) -> tuple[dict[str, Any], int]:
    """The single session that the assets give for the landed events, and the number of rejected lines."""
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(settings, instance)
        platform.settle()
        (session,) = platform.rows("sessions")
        return session, len(platform.rows("rejected_events"))


def paths(events: list[dict[str, Any]]) -> list[str]:
    return [event["properties"]["url"].split("/", 3)[3] for event in events if event["event"] == "page_view"]


def opened(context: BrowserContext, url: str) -> Page:
    """A page once its tag runs."""
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("window.radar")
    return page


def page_url(event: dict[str, Any]) -> str:
    """The URL of the page, which page views have in their properties and other events in their context."""
    return {**event["context"].get("page", {}), **event["properties"]}["url"]


def sending(context: BrowserContext) -> list[Request]:
    """The requests with events, as they are sent."""
    requests: list[Request] = []
    context.on("request", lambda request: requests.append(request) if "/v1/" in request.url else None)
    return requests


def in_app(page: Page, *steps: str) -> None:
    """The changes of its URL that an app makes, step by step."""
    for step in steps:
        page.evaluate(step)
        page.wait_for_timeout(30)


def test_a_visit_becomes_one_session_with_the_right_pages(settings: Settings, context: BrowserContext) -> None:
    with serving(settings) as collector, site(tagged(collector)) as shop:
        with site(
            f'<title>Elsewhere</title><a href="{shop}/start?utm_campaign=spring">a shop</a>', "localhost"
        ) as elsewhere:
            requests = sending(context)
            page = context.new_page()
            page.goto(f"{elsewhere}/blog/article")
            page.click("a")
            page.wait_for_url(f"{shop}/start?utm_campaign=spring")
        page.wait_for_function("window.radar")
        in_app(
            page,
            "history.pushState({}, '', '/products'); document.title = 'Products'",
            "history.replaceState({scroll: 5}, '', '/products')",
            "history.pushState({}, '', '/products/1#reviews')",
            "location.hash = 'price'",
        )
        page.reload()
        page.wait_for_function("window.radar")
        # The browser reports requests of open pages only.
        with context.expect_event("request", lambda request: "user 1" in (request.post_data or "")):
            in_app(
                page,
                "radar.track('add_to_cart', {price: 9.5})",
                "history.go(-2)",
                "radar.identify('user 1', {plan: 'free'})",
            )
        page.goto(f"{shop}/checkout")
        page.wait_for_function("window.radar")
        events = arrived(collector, context, 8)
        seen = live_counts(settings.landing, "shop")
        types = {request.headers["content-type"].split(";")[0] for request in requests}
    assert types == {"text/plain"}
    assert all(collector.keys["shop"] not in request.url for request in requests)
    assert paths(events) == [
        "start?utm_campaign=spring",
        "products",
        "products/1",
        "products/1",
        "products",
        "checkout",
    ]
    tracked, identified = (event for event in events if event["event"] != "page_view")
    assert (tracked["event"], tracked["properties"]["price"]) == ("add_to_cart", 9.5)
    assert (identified["type"], identified["user_id"], identified["properties"]["traits"]) == (
        "identify",
        "user 1",
        {"plan": "free"},
    )
    assert [event["properties"]["title"] for event in events[:2]] == ["Shop", "Products"]
    assert {event["protocol"] for event in events} == {"radar"}
    assert (seen.events, seen.page_views, seen.visitors) == (8, 6, 1)
    # Dagster runs its own event loops, and the browser's driver has one in this thread.
    with ThreadPoolExecutor(1) as elsewhere:
        session, rejected = elsewhere.submit(through_the_graph, settings).result()
    assert rejected == 0
    assert session["sender_session_id"] == events[0]["session_id"]
    assert (session["page_views"], session["events"]) == (6, 8)
    assert (session["entry_page"], session["exit_page"]) == ("/start", "/checkout")
    assert (session["referrer_domain"], session["utm_campaign"]) == ("localhost", "spring")
    assert (session["user_id"], session["browser"], session["is_bot"]) == ("user 1", "Chrome", False)
    assert session["started_at"] == datetime.fromisoformat(events[0]["timestamp"]).replace(tzinfo=None)


@pytest.mark.parametrize("wish", ["globalPrivacyControl", "doNotTrack"])
def test_browsers_with_dnt_or_gpc_are_not_tracked(collector: Collector, context: BrowserContext, wish: str) -> None:
    value = {"globalPrivacyControl": "true", "doNotTrack": "'1'"}[wish]
    requests = sending(context)
    with site(tagged(collector)) as shop:
        context.add_init_script(f"Object.defineProperty(navigator, '{wish}', {{value: {value}}})")
        page = opened(context, shop)
        page.evaluate("radar.track('click'); radar.identify('me')")
        page.wait_for_timeout(500)
        assert page.evaluate("Object.keys(localStorage)") == []
    assert requests == []


def test_an_opt_out_lasts_until_the_next_opt_in(collector: Collector, context: BrowserContext) -> None:
    with site(tagged(collector)) as shop:
        page = opened(context, f"{shop}/1")
        wait_for(collector.events, "the first page view")
        page.evaluate("radar.track('not sent yet'); radar.optOut(); radar.track('refused')")
        assert page.evaluate("localStorage['radar.visitor'] + localStorage['radar.session']") == ""
        page = opened(context, f"{shop}/2")
        page.evaluate("radar.optIn(); radar.track('back')")
        first, second = arrived(collector, context, 2)
    assert (paths([first]), second["event"]) == (["1"], "back")
    assert first["anonymous_id"] != second["anonymous_id"]


def test_events_arrive_even_where_beacons_and_storage_are_refused(
    collector: Collector, context: BrowserContext
) -> None:
    refused = "Object.defineProperty(window, 'localStorage', {get() { throw new Error() }}); navigator.sendBeacon = () => false"
    context.add_init_script(refused)
    with site(tagged(collector)) as shop:
        page = opened(context, shop)
        page.evaluate("for (let n = 0; n < 24; n++) radar.track('click', {n, title: 'own'})")
        events = arrived(collector, context, 25)
    assert sorted(event["properties"]["n"] for event in events if event["event"] == "click") == list(range(24))
    assert {event["properties"]["title"] for event in events} == {"Shop", "own"}
    assert len({event["event_id"] for event in events}) == 25
    assert len({(event["anonymous_id"], event["session_id"]) for event in events}) == 1


def test_events_too_large_for_a_beacon_arrive_while_the_page_is_open(
    collector: Collector, context: BrowserContext
) -> None:
    context.add_init_script("navigator.sendBeacon = () => false")
    with site(tagged(collector)) as shop:
        page = opened(context, f"{shop}/callback#access_token=secret")
        page.evaluate("radar.track('long', {text: 'ж'.repeat(40000)})")
        wait_for(lambda: len(collector.events()) == 2, "both events")
        events = arrived(collector, context, 2)
    assert [len(event["properties"].get("text", "")) for event in events] == [0, 40_000]
    assert {page_url(event) for event in events} == {f"{shop}/callback"}
    assert not any(b"secret" in line for line in collector.landed())


def test_a_session_ends_after_half_an_hour_and_reset_gives_a_new_visitor(
    collector: Collector, context: BrowserContext
) -> None:
    with site(tagged(collector)) as shop:
        page = opened(context, shop)
        for minutes in (29, 31):
            page.evaluate(
                "past => { const [id, at] = localStorage['radar.session'].split(' ');"
                " localStorage['radar.session'] = id + ' ' + (at - past); radar.track('click') }",
                minutes * 60_000,
            )
        in_app(page, "radar.identify('me'); radar.track('click')", "radar.reset()", "radar.track('click')")
        events = arrived(collector, context, 6)
    sessions = [event["session_id"] for event in events]
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3] == sessions[4] != sessions[5]
    assert [event.get("user_id") for event in events] == [None, None, None, "me", "me", None]
    visitors = [event["anonymous_id"] for event in events]
    assert len(set(visitors[:5])) == 1
    assert visitors[5] != visitors[0]


NOBODY = (
    *("undefined", "null", "NaN", "0", "{}", "false", "''", "' '", "'0'", "'null'", "'Anonymous'", "'none'"),
    "'00000000-0000-0000-0000-000000000000'",
)
"""In JavaScript."""


def test_placeholders_for_users_are_never_sent(collector: Collector, context: BrowserContext) -> None:
    """They are ignored also in the storage of visitors, where an earlier version of the script may have left one."""
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    context.add_init_script("localStorage['radar.user'] ??= 'undefined'")
    with site(tagged(collector)) as shop:
        page = opened(context, shop)
        for user in NOBODY:
            page.evaluate(f"radar.identify({user}, {{plan: 'free'}})")
        page.evaluate("radar.identify('null-island'); radar.identify(10); radar.identify('undefined')")
        events = arrived(collector, context, len(NOBODY) + 4)
    assert [event.get("user_id") for event in events] == [None] * (len(NOBODY) + 1) + ["null-island", "10", "10"]
    assert {str(event["properties"].get("traits")) for event in events[1:-3]} == {"{'plan': 'free'}"}
    assert len(said) == len(NOBODY) + 1
    assert said[0] == "radar.js: not a user id: undefined"


WORDS = (
    *(
        "undefined",
        "null",
        "(null)",
        "<null>",
        "nil",
        "None",
        "NaN",
        "n/a",
        "not set",
        "(not set)",
        "not_set",
        "missing",
        "unset",
    ),
    *(
        "anonymous",
        "Anonymous User",
        "guest_user",
        "no user",
        "unauthenticated",
        "your_user_id",
        "opt-out",
        "email",
        "id",
        "-1",
    ),
    *("[object Object]", "[object Undefined]", "[object]", "function () { return 1 }", "function(a)", "functional"),
    *(
        "{{user.id}}",
        "{{ user.id }}",
        "${id}",
        "<%= user.id %>",
        "%USER_ID%",
        "{user_id}",
        "{user id}",
        "{{user.id",
        "{}",
    ),
    *("0", "000", "0-0", "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "-", "--"),
    *("ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-fffffffffffe", "9774d56d682e549c"),
    *(
        "",
        "10",
        "0x0",
        "1e0",
        "none@none",
        "anna@none.example",
        "nullify",
        "undefined undefined",
        "null-island",
        "guests",
        "n\\a",
    ),
)
FORMS = [
    f"{before}{spelled}{after}"
    for word in WORDS
    for spelled in (word, word.lower(), word.upper(), word.title())
    for before, after in (("", ""), (" ", "\n"), ("'", "'"), ('"', "\t"), ("", "."), ("\u00a0", ""))
]


def test_the_script_refuses_exactly_what_the_contract_drops(collector: Collector, context: BrowserContext) -> None:
    refused_by_script = """forms => forms.filter(form => {
        localStorage.removeItem('radar.user');
        radar.identify(form);
        return !('radar.user' in localStorage);
    })"""
    with site(tagged(collector)) as shop:
        refused = opened(context, shop).evaluate(refused_by_script, FORMS)
    assert refused == [form for form in FORMS if is_no_person_id(form)]
    assert len(FORMS) / 4 < len(refused) < len(FORMS) * 3 / 4


def test_a_page_can_be_its_fragment_and_an_event_passive(collector: Collector, context: BrowserContext) -> None:
    with site(tagged(collector, options="data-hash")) as shop:
        page = opened(context, f"{shop}/#/")
        in_app(page, "location.hash = '/pricing'", "radar.track('scrolled', {depth: 50}, {interactive: false})")
        events = arrived(collector, context, 3)
    assert [page_url(event) for event in events] == [f"{shop}/#/", *[f"{shop}/#/pricing"] * 2]
    assert {event["context"]["page"]["hash_routing"] for event in events} == {True}
    assert [event["context"].get("interactive") for event in events] == [None, None, False]


def test_a_key_for_an_origin_only_accepts_events_of_its_pages(collector: Collector, context: BrowserContext) -> None:
    port = free_port()
    key = create_key(collector.store, "shop", origins=(f"http://127.0.0.1:{port}",))
    with site(tagged(collector, key)) as copycat, site(tagged(collector, key), port=port) as shop:
        opened(context, f"{copycat}/stolen")
        opened(context, f"{shop}/own")
        events = arrived(collector, context, 1)
        page = opened(context, f"{copycat}/stolen")
        with page.expect_response(f"{collector.url}/v1/events") as response:
            page.evaluate("navigator.sendBeacon = () => false; radar.track('stolen')")
        assert response.value.status == 401
    assert paths(events) == ["own"]
    assert len(collector.events()) == 1


def test_a_tag_without_a_key_says_so_and_breaks_nothing(collector: Collector, context: BrowserContext) -> None:
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    with site(f'<script src="{collector.url}/radar.js"></script><script>document.title = "fine"</script>') as shop:
        page = context.new_page()
        page.goto(shop)
        assert page.title() == "fine"
    assert said == ["radar.js: its script tag needs a write key as data-key"]
