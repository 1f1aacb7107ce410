"""Paths, bots, groups and internal traffic are the same in the live numbers, which read one event at a time, and in `events`."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from radar_assets.collector.hits import read_hit
from radar_assets.events.declarations import NOTHING_DECLARED, Declarations, ProjectPages
from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets.events.single_events import GROUP_PREFIX
from radar_assets_tests.events.enriching import CHROME, NOON, enrich, raw_row
from radar_assets_tests.events.lines import good_line

EVENTS = 4_000
PARTS = [
    *(
        "https:",
        "http:",
        "file:",
        "javascript:",
        "a:",
        ":",
        "//",
        "//",
        "/",
        "/",
        "\\",
        "?",
        "#",
        "?a=b",
        "#top",
        "&",
        "=",
    ),
    *(
        "shop.example",
        "shop.example:8080",
        "user:secret@",
        "[::1]",
        "例え.jp",
        "😀",
        "e\u0301",
        "\u202e",
        "\0",
        "\n",
        " ",
    ),
    *("a", "b.html", ".", "..", "%2F", "%", "WWW.", "''", '"', "$", "{}"),
    *(
        "/./",
        "/..",
        "%2e",
        "%C3",
        "%a9",
        "%c3%A9",
        "%ED%A0%80",
        "%7b",
        "%0a",
        ";jsessionid=1",
        "%3BSID%3D",
        "/(S(a1))",
        "/(",
    ),
]
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
NO_TEXT = [
    None,
    0,
    5,
    -1.5,
    1e300,
    1.25e-9,
    123456789012345678.5,
    2**63,
    2**70,
    True,
    False,
    [],
    ["/a", None],
    {},
    {"a": "/b ü\n", "url": 1.0},
]
SAID: list[tuple[dict[str, Any], str | None]] = [
    ({"properties": {"url": "https://shop.example/a/b?q=1#top"}}, "/a/b"),
    ({"properties": {"url": "https://shop.example?q=/1"}}, "/"),
    ({"properties": {"url": "//shop.example"}}, "/"),
    ({"properties": {"url": "shop.example/a"}}, "/shop.example/a"),
    ({"properties": {"url": "file:///a/b"}}, "/a/b"),
    ({"properties": {"url": "javascript:"}}, "/javascript:"),
    ({"properties": {"url": "a:/"}}, "/a:/"),
    ({"properties": {"url": "/a//b"}}, "/a//b"),
    ({"properties": {"url": "", "$current_url": "http://shop.example:8080/c"}}, "/c"),
    ({"properties": {"path": "/c?x=1"}, "context": {"page": {"url": "https://shop.example/d"}}}, "/c"),
    ({"properties": {"path": "#x"}}, "/"),
    ({"context": {"page": {"url": "https://shop.example/d", "path": "/e#f"}}}, "/e"),
    ({"properties": {"url": "/a"}, "context": {"page": {"path": "/e"}}}, "/a"),
    ({"properties": {"path": 5}}, "/5"),
    ({"type": "track", "properties": {"url": "https://b.example/c"}}, None),
    ({"type": "track", "event": "page_view", "properties": {"url": "https://b.example/c"}}, "/c"),
    ({"type": "track", "properties": {"url": "/b"}, "context": {"page": {"url": "https://shop.example/d"}}}, "/d"),
    ({"properties": {"url": "/a#/b?c"}, "context": {"page": {"hash_routing": True}}}, "/a#/b"),
    ({"properties": {"url": "/%63af%c3%a9/../b;jsessionid=1"}}, "/b"),
    ({"properties": {"title": "nowhere"}, "context": {"page": "a page"}}, None),
    ({}, None),
]
GROUPS: list[tuple[dict[str, Any], bool]] = [
    ({"type": "group", "protocol": "posthog", "anonymous_id": f"{GROUP_PREFIX}team:1"}, True),
    ({"type": "group", "protocol": "segment", "anonymous_id": f"{GROUP_PREFIX}team:1"}, False),
    ({"type": "track", "protocol": "posthog", "anonymous_id": f"{GROUP_PREFIX}team:1"}, False),
    ({"type": "group", "protocol": "posthog", "anonymous_id": f"{GROUP_PREFIX}team:1", "user_id": "u"}, False),
    ({"type": "group", "protocol": "posthog", "anonymous_id": "team:1"}, False),
    ({"type": "group", "protocol": "posthog", "user_id": f"{GROUP_PREFIX}team:1"}, False),
    ({"protocol": "radar", "anonymous_id": "v", "context": {"userAgent": BOT}}, True),
    ({"protocol": "radar", "anonymous_id": "v", "context": {"userAgent": CHROME, "user_agent": BOT}}, False),
    ({"protocol": "radar", "anonymous_id": "v", "context": {"user_agent": [BOT]}}, True),
]


RULES = (
    InternalTraffic(name="hosts", hosts=("shop.example", "[::1]", "*.example", "例え.jp", "a")),
    InternalTraffic(name="people", users=("u", "$group:a:b"), projects=("other", "p2")),
    InternalTraffic(name="flags", flags=("a", "b.html", "internal"), projects=("p1", "p3")),
    InternalTraffic(name="office", addresses=("192.0.2.7", "2001:db8:1:2::/64"), projects=("p3",)),
)
DECLARED = Declarations(
    pages=(ProjectPages(project="p2", hash_routing=True), ProjectPages(project="p3", hash_routing=True)),
    internal_traffic=RULES,
)
OF_TEAM: list[tuple[dict[str, Any], bool]] = [
    ({"properties": {"url": "https://user@SHOP.example.:8080/a"}}, True),
    ({"properties": {"url": "https://a.shop.example?b"}}, True),
    ({"properties": {"url": "//[::1]:80/"}}, True),
    ({"properties": {"url": "https://shop.example.org/"}}, False),
    ({"properties": {"url": "shop.example/a"}}, False),
    ({"type": "track", "properties": {"url": "https://shop.example/"}}, False),
    ({"type": "track", "context": {"page": {"url": "https://shop.example/", "path": "/b"}}}, True),
    ({"properties": {"url": "/?b.html=1"}}, True),
    ({"properties": {"url": "/?b-html=1"}}, False),
    ({"properties": {"url": "/?x&amp;amp;internal=yes&y"}}, True),
    ({"properties": {"url": "/?internal\n"}}, False),
    ({"properties": {"url": "/#/?internal"}}, False),
    ({"properties": {"url": "/#/?internal"}, "context": {"page": {"hash_routing": "true"}}}, True),
    ({"properties": {"path": "/#/?internal"}, "project_id": "p3"}, True),
    ({"properties": {"url": "/?internal"}, "project_id": "p2"}, False),
    ({"user_id": "u"}, False),
    ({"user_id": "u", "project_id": "p2"}, True),
    ({"context": {"ip": "192.0.2.0"}}, False),
    ({"context": {"ip": "192.0.2.0"}, "project_id": "p3"}, True),
    ({"context": {"ip": "2001:db8:1:2::5"}, "project_id": "p3"}, True),
    ({"context": {"ip": ["192.0.2.7"]}, "project_id": "p3"}, False),
]


def verdicts(
    said: list[dict[str, Any]], declared: Declarations = NOTHING_DECLARED
) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """Each event with its path and whether it is a bot's or internal: as the live numbers have it, and as the table has it."""
    ids = {"type": "page", "event": "e", "protocol": "radar", "project_id": "p1"}
    events = [
        {**ids, **({} if fields.keys() & {"user_id", "anonymous_id"} else {"anonymous_id": "v"}), **fields}
        for fields in said
    ]
    columns = ("type", "event", "protocol", "user_id", "anonymous_id", "project_id")
    rows = enrich(
        (
            raw_row(
                fields.get("properties"),
                fields.get("context"),
                event_id=str(index),
                event_time=NOON + timedelta(microseconds=index),
                **{name: fields.get(name) for name in columns},
            )
            for index, fields in enumerate(events)
        ),
        declared=declared,
    )
    assert len(rows) == len(events)
    by_index = {int(row["event_id"]): row for row in rows}
    for index, fields in enumerate(events):
        hit = read_hit(good_line(**{"user_id": None, "properties": None, "context": None, **fields}), declared)
        assert hit is not None, fields
        row = by_index[index]
        yield fields, (hit.page, hit.is_bot, hit.is_internal), (row["path"], row["is_bot"], row["is_internal"])


def test_a_page_has_one_path() -> None:
    for (said, path), (_, live, table) in zip(SAID, verdicts([said for said, _ in SAID]), strict=True):
        assert live[0] == table[0] == path, said


def test_groups_and_bots_are_no_visitors() -> None:
    for (said, is_bot), (_, live, table) in zip(GROUPS, verdicts([said for said, _ in GROUPS]), strict=True):
        assert live[1] == table[1] == is_bot, said


def test_internal_traffic_is_that_of_the_declared_rules() -> None:
    for (said, is_internal), (_, live, table) in zip(
        OF_TEAM, verdicts([said for said, _ in OF_TEAM], DECLARED), strict=True
    ):
        assert live[2] == table[2] == is_internal, said


def random_event(draw: random.Random) -> dict[str, Any]:
    """An event whose page, client and sender may be anything."""

    def value() -> Any:
        return draw.choice(NO_TEXT) if draw.random() < 0.1 else "".join(draw.choices(PARTS, k=draw.randrange(8)))

    def some(*names: str) -> dict[str, Any]:
        return {name: value() for name in names if draw.random() < 0.35}

    context = some("userAgent", "user_agent")
    if draw.random() < 0.2:
        context["ip"] = draw.choice(["192.0.2.7", "192.0.2.9", "192.0.2.0", "2001:db8:1::", value()])
    if draw.random() < 0.4:
        context["page"] = some("url", "path", "URL", "hash_routing") if draw.random() < 0.9 else value()
    if draw.random() < 0.1:
        context[draw.choice(["userAgent", "user_agent"])] = draw.choice([BOT, CHROME, "x" * 1_000 + BOT])
    ids = {"anonymous_id": draw.choice(["v", f"{GROUP_PREFIX}a:b", GROUP_PREFIX, "$group"]), "user_id": "u"}
    return {
        "properties": draw.choice([None, some("url", "$current_url", "path", "Path", "$raw_user_agent")]),
        "context": draw.choice([None, context]),
        "type": draw.choice(["group", "track", "page", "page", "screen"]),
        "event": draw.choice(["e", "e", "page_view", "screen_view"]),
        "protocol": draw.choice(["posthog", "posthog", "segment"]),
        "project_id": draw.choice(["p1", "p2", "p3"]),
        **{name: ids[name] for name in draw.choice([["anonymous_id"], ["user_id"], ["anonymous_id", "user_id"]])},
    }


@pytest.mark.parametrize("declared", [NOTHING_DECLARED, DECLARED], ids=["nothing declared", "declared"])
def test_thousands_of_events_are_the_same_live_and_in_the_table(declared: Declarations) -> None:
    draw = random.Random(15)
    found = list(verdicts([random_event(draw) for _ in range(EVENTS)], declared))
    differing = [(fields, live, table) for fields, live, table in found if live != table]
    assert not differing, f"{len(differing)}, e.g. {json.dumps(differing[:5], ensure_ascii=False)}"
    internal = sum(live[2] for _, live, _ in found)
    assert EVENTS / 20 < internal < EVENTS / 2 if declared.internal_traffic else not internal
