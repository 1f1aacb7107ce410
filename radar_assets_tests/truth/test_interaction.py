"""Which events are interactive and which are from servers, in the table and in the live numbers."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from radar_assets.collector.hits import read_hit
from radar_assets.events.interaction import CLIENT_CONTEXT, CLIENT_PROPERTIES, PASSIVE_EVENTS
from radar_assets_tests.events.enriching import CHROME, NOON, enrich, raw_row
from radar_assets_tests.events.lines import good_line

Fields = dict[str, Any]
TRACK = {"type": "track", "event": "click", "protocol": "radar"}
PASSIVE: list[Fields] = [
    *({"event": name} for name in PASSIVE_EVENTS),
    *({"type": kind, "event": kind} for kind in ("identify", "group", "alias")),
    {"event": "Engagement"},
    {"type": "page", "event": "page_view", "context": {"interactive": False}},
    {"context": {"interactive": "false"}},
    {"protocol": "plausible", "properties": {"interactive": False}},
    {"properties": {"nonInteraction": 1}},
    {"properties": {"nonInteraction": True}},
    {"properties": {"non_interaction": "true"}},
]
INTERACTIVE: list[Fields] = [
    {},
    {"event": "$autocapture"},
    {"event": "Engagement survey"},
    {"type": "page", "event": "page_view"},
    {"context": {"interactive": True}},
    {"context": {"interactive": None}},
    {"context": {"page": {"title": '"interactive":false'}}},
    {"protocol": "segment", "properties": {"interactive": False}},
    {"properties": {"nonInteraction": 0}},
    {"properties": {"nonInteraction": False}},
]
OF_SERVER: list[Fields] = [
    {},
    {"user_id": "u", "properties": {"revenue": 5}, "context": {"library": {"name": "analytics-node"}, "os": "linux"}},
    {"protocol": "posthog", "properties": {"$lib": "posthog-python", "$os": "Linux"}},
    {"context": {"platform": "srv"}},
    {"context": {"app": None}},
]
OF_CLIENT: list[Fields] = [
    {"session_id": "s"},
    {"context": {"userAgent": CHROME}},
    {"context": {"user_agent": CHROME}},
    {"context": {"page": {"url": "https://shop.example/"}}},
    {"context": {"page": {"path": "/"}}},
    {"type": "screen", "event": "Home"},
    {"type": "page", "event": "page_view"},
    {"event": "page_view"},
    {"context": {"platform": "mob"}},
    *({"context": {name: {"name": "x"}}} for name in CLIENT_CONTEXT),
    *({"properties": {name: "x"}} for name in CLIENT_PROPERTIES),
    {"protocol": "posthog", "properties": {"$raw_user_agent": CHROME}},
    {"protocol": "posthog", "properties": {"$current_url": "https://shop.example/"}},
]


def in_table(said: Sequence[Fields]) -> list[tuple[bool, bool]]:
    """`is_interactive` and `is_from_server` of each event."""
    rows = enrich(
        raw_row(
            fields.get("properties"),
            fields.get("context"),
            event_id=str(index),
            event_time=NOON + timedelta(microseconds=index),
            **{name: fields.get(name) for name in ("type", "event", "protocol", "user_id", "session_id")},
        )
        for index, fields in enumerate(said)
    )
    by_index = {int(row["event_id"]): row for row in rows}
    found = [by_index[index] for index in range(len(said))]
    return [(row["is_interactive"], row["is_from_server"]) for row in found]


@pytest.mark.parametrize("said, value", [(PASSIVE, False), (INTERACTIVE, True)])
def test_automatic_events_and_those_marked_by_the_sender_are_not_interactive(said: list[Fields], value: bool) -> None:
    events = [{**TRACK, **fields} for fields in said]
    for fields, (is_interactive, _) in zip(events, in_table(events), strict=True):
        assert is_interactive is value, fields


@pytest.mark.parametrize("said, value", [(OF_SERVER, True), (OF_CLIENT, False)])
def test_events_without_the_context_of_a_browser_or_app_are_from_servers(said: list[Fields], value: bool) -> None:
    events = [{**TRACK, **fields} for fields in said]
    for fields, (_, is_from_server) in zip(events, in_table(events), strict=True):
        assert is_from_server is value, fields


def test_live_numbers_follow_the_same_rules() -> None:
    draw = random.Random(18)
    parts = [*PASSIVE, *INTERACTIVE, *OF_SERVER, *OF_CLIENT]
    said = [{**TRACK, **fields} for fields in parts]
    for _ in range(2_000):
        fields: Fields = dict(TRACK)
        for part in draw.sample(parts, 2):
            for name, value in part.items():
                merged = {**(fields.get(name) or {}), **value} if isinstance(value, dict) else value
                fields[name] = merged
        if draw.random() < 0.1:
            fields.setdefault("context", {})["interactive"] = draw.choice([0, 0.0, "0", "no", [], {}, 1])
        said.append(fields)
    for fields, (is_interactive, is_from_server) in zip(said, in_table(said), strict=True):
        defaults = {"user_id": None, "session_id": None, "properties": None, "context": None, "anonymous_id": "v"}
        hit = read_hit(good_line(**{**defaults, **fields}))
        assert hit is not None, fields
        assert hit.is_visit is (is_interactive and not is_from_server), fields
