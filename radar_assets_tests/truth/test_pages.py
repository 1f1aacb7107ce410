"""Pages, sites and access logs: which page an event happened on, by the cases and their kin."""

from datetime import date
from pathlib import Path

from radar_assets.events.access_logs import AccessLog
from radar_assets.events.importer import import_file
from radar_assets.settings import Settings
from radar_assets_tests.platform import Platform
from radar_assets_tests.truth.traffic import CASES, received, requests_of

PROJECT = "pages"
OWN = ("jsessionid", "percent-encoded-paths", "subdomains")
"""Cases that use a key named after them."""
INTERNAL = """
internal_traffic:
  - name: tests
    hosts: ["*.staging.example"]
"""


def test_events_have_the_page_and_the_site_that_analysts_expect(settings: Settings) -> None:
    def import_log(platform: Platform) -> None:
        file = CASES / "access-log-static-and-errors" / "access.log"
        log = AccessLog("https://site.example")
        engine = platform.lakehouse.engine
        import_file(
            file, settings.landing, engine=engine, format="apache", start=date(2026, 1, 1), project=PROJECT, log=log
        )

    Path(settings.config_file).write_text(INTERNAL)
    own = {"url": "https://shop.staging.example/", "referrer": "https://www.google.com/"}
    staging = {"event_id": "internal", "type": "page", "anonymous_id": "v-9", "properties": own}
    requests = [
        *(request for case in ("outbound-link", *OWN) for request in requests_of(case)),
        {
            "method": "POST",
            "path": "/v1/events",
            "headers": {"Authorization": f"Bearer key-{PROJECT}"},
            "body": [staging],
        },
    ]
    keys = ("outbound.example", *(f"key-{case}" for case in OWN))
    with received(settings, requests, PROJECT, keys=keys, prepare=import_log) as traffic:
        views = "from events where event = 'page_view' and host"
        assert traffic.rows("select event, host, path from events where host like '%outbound%' order by event") == [
            ("File Download", "outbound.example", "/blog"),
            ("Outbound Link: Click", "outbound.example", "/blog"),
            ("page_view", "outbound.example", "/blog"),
        ]
        assert traffic.rows("select count(*) from events where host in ('partner.example', 'cdn.example')") == [(0,)]
        assert traffic.rows(f"select path, count(*) {views} = 'bank.example' group by all") == [("/login.jsp", 3)]
        assert traffic.rows(f"select path, count(*) {views} = 'cafe.example' group by all") == [("/café", 4)]
        sites = traffic.rows(f"select event_id, referrer_domain, channel {views} like '%shop%' order by event_id")
        assert sites == [
            ("internal", "google.com", "Organic Search"),
            ("sd-1", "google.com", "Organic Search"),
            ("sd-2", None, "Direct"),
            ("sd-3", None, "Direct"),
            ("sd-4", None, "Direct"),
        ]
        logged = "from events where protocol = 'import' and not is_bot"
        assert traffic.rows(f"select path {logged} and event = 'page_view' order by path") == [
            ("/de/",),
            ("/de/preise",),
        ]
        assert traffic.rows(
            f"select event, path, properties ->> 'status', context ->> 'interactive', count(*) {logged} and type = 'track'"
            " group by all order by all"
        ) == [
            ("request", None, "200", "false", 4),
            ("request", None, "301", "false", 1),
            ("request", None, "404", "false", 2),
        ]
        assert traffic.rows("select event_id from events where is_internal") == [("internal",)]
        assert traffic.rows("select count(*) from rejected_events") == [(0,)]


def test_plausibles_hash_routes_are_pages(settings: Settings) -> None:
    with received(settings, requests_of("hash-routing"), "hash", keys=["hash.example"]) as traffic:
        assert traffic.rows("select path from events order by event_time") == [
            ("/#/",),
            ("/#/pricing",),
            ("/#/signup",),
        ]
