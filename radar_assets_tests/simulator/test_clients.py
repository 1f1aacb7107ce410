"""User agents are recognized by the parsers and crawler lists."""

import crawleruseragents
from ua_parser import parse_user_agent

from radar_assets.simulator.clients import CLIENTS, Kind


def test_only_crawlers_are_on_the_crawler_list():
    for client in CLIENTS:
        if client.user_agent:
            assert crawleruseragents.is_crawler(client.user_agent) == (client.kind == Kind.BOT), client


def test_browsers_are_parsed_as_their_browser():
    for client in CLIENTS:
        if client.kind == Kind.BROWSER:
            parsed = parse_user_agent(client.user_agent or "")
            assert parsed is not None
            assert parsed.family == client.browser
