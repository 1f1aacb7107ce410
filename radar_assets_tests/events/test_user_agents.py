"""Clients of events: browser, system, device and bots, from user agents."""

import json
from importlib import resources

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from radar_assets.events.user_agents import client, describe_user_agents
from radar_assets_tests.events.enriching import CHROME, enriched
from radar_assets_tests.truth.traffic import CASES


class TestClient:
    @pytest.mark.parametrize(
        ("user_agent", "browser", "version", "os", "device_type"),
        [
            (CHROME, "Chrome", "126", "Windows", "desktop"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "Version/17.5 Mobile/15E148 Safari/604.1",
                "Mobile Safari", "17", "iOS", "mobile",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                "Version/16.6 Mobile/15E148 Safari/604.1",
                "Mobile Safari", "16", "iOS", "tablet",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 "
                "Mobile Safari/537.36",
                "Chrome Mobile", "116", "Android", "mobile",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 "
                "Safari/537.36",
                "Chrome", "116", "Android", "tablet",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko Firefox/130.0", "Firefox", "130", "Linux", "desktop"),
            ("Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.1; Tablet PC 2.0)", "IE", "10", "Windows", "desktop"),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "2", None, "bot"),
            ("curl/8.5.0", "curl", "8", None, "bot"),
            ("something unknown", None, None, None, None),
        ],
    )  # fmt: skip
    def test_a_user_agent_gives_browser_system_and_device(
        self, user_agent: str, browser: str | None, version: str | None, os: str | None, device_type: str | None
    ):
        event = enriched({}, {"userAgent": user_agent})
        assert [event[name] for name in ("browser", "browser_version", "os", "device_type", "is_bot")] == [
            browser, version, os, device_type, device_type == "bot",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("properties", "context"),
        [
            ({}, {"userAgent": CHROME}),
            ({}, {"user_agent": CHROME}),
            ({"$raw_user_agent": CHROME}, None),
            ({"$raw_user_agent": "curl/8"}, {"userAgent": CHROME}),
        ],
    )
    def test_the_user_agent_is_read_from_where_sdks_put_it(self, properties: dict, context: dict | None):
        assert enriched(properties, context)["browser"] == "Chrome"

    def test_without_a_user_agent_the_client_is_unknown_and_not_a_bot(self):
        event = enriched()
        assert [event[name] for name in ("browser", "os", "device_type", "is_bot")] == [None, None, None, False]

    def test_a_servers_event_about_a_group_is_not_a_persons(self):
        group = {"protocol": "posthog", "type": "group", "anonymous_id": "$group:company:acme", "user_id": None}
        assert enriched(**group)["is_bot"] is True
        for other in ({"protocol": "radar"}, {"type": "track"}, {"anonymous_id": "d-1"}, {"user_id": "ann"}):
            assert enriched(**{**group, **other})["is_bot"] is False
        assert enriched(**{**group, "anonymous_id": None, "user_id": "ann"})["is_bot"] is False

    def test_people_are_people_and_crawlers_are_bots_in_two_lists(self):
        """Clients measured on sites (fake-useragent), and the examples of the list of crawlers."""
        lines = (resources.files("fake_useragent") / "data" / "browsers.jsonl").read_text().splitlines()
        people = [json.loads(line)["useragent"] for line in lines]
        crawlers = [example for crawler in CRAWLER_USER_AGENTS_DATA for example in crawler["instances"]]
        assert (len(people), len(crawlers)) > (5_000, 2_000)
        assert not [text for text in people if client(text).is_bot]
        assert not [text for text in crawlers if not client(text).is_bot]

    def test_a_browser_in_an_app_is_a_persons_although_the_app_has_a_crawler_too(self):
        case = (CASES / "people-taken-for-bots" / "user_agents.txt").read_text().splitlines()
        iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
        windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
        electron = "Chrome/120.0.6099.56 Electron/28.0.0 Safari/537.36"
        apps = [f"{iphone} SogouSearch Ios1.0 version3.0", f"{windows} Notion/2.3.2 {electron}", f"{iphone} Viber/21.0"]
        apps.append(f"{windows} Slack/4.36.140 {electron} Sonic Slack_SSB/4.36.140")
        assert [client(text).is_bot for text in [*case, *apps]] == [False] * 6
        assert (client(case[0]).device_type, client(case[1]).device_type) == ("mobile", "desktop")
        crawlers = [
            "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
            "WhatsApp/2.23.20.0 A",
            "Viber",
        ]
        assert all(client(text).is_bot for text in [*crawlers, f"{iphone} WhatsApp/2.24 (compatible; Googlebot/2.1)"])

    def test_hostile_user_agents_are_parsed_like_any_other(self):
        hostile = ["x" * 10_000, "Mozilla/5.0 (" * 1_000, "(" * 10_000, "💥\u202e" * 3_000, "' or 1=1; --", "", " "]
        table = describe_user_agents([None, *hostile])
        assert table["user_agent"].to_pylist() == hostile
        assert describe_user_agents([]).schema == table.schema

    def test_only_the_start_of_a_user_agent_is_parsed(self):
        assert describe_user_agents([CHROME + " " * 1_000 + "Googlebot"])["is_bot"].to_pylist() == [False]
        assert client(CHROME + " Googlebot").is_bot
