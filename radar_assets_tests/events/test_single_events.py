"""Page paths, bots and groups are the same in the live numbers, which read one event at a time, and in the table `events`."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from radar_assets.collector.hits import read_hit
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


def verdicts(said: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Any, Any]]:
    """Each event with its path and whether it is a bot's: as the live numbers have it, and as the table has it."""
    ids = {"type": "page", "event": "e", "protocol": "radar"}
    events = [
        {**ids, **({} if fields.keys() & {"user_id", "anonymous_id"} else {"anonymous_id": "v"}), **fields}
        for fields in said
    ]
    rows = enrich(
        raw_row(
            fields.get("properties"),
            fields.get("context"),
            event_id=str(index),
            event_time=NOON + timedelta(microseconds=index),
            **{name: fields.get(name) for name in ("type", "event", "protocol", "user_id", "anonymous_id")},
        )
        for index, fields in enumerate(events)
    )
    assert len(rows) == len(events)
    by_index = {int(row["event_id"]): row for row in rows}
    for index, fields in enumerate(events):
        hit = read_hit(good_line(**{"user_id": None, "properties": None, "context": None, **fields}))
        assert hit is not None, fields
        row = by_index[index]
        yield fields, (hit.page, hit.is_bot), (row["path"], row["is_bot"])


def test_a_page_has_one_path() -> None:
    for (said, path), (_, live, table) in zip(SAID, verdicts([said for said, _ in SAID]), strict=True):
        assert live[0] == table[0] == path, said


def test_groups_and_bots_are_no_visitors() -> None:
    for (said, is_bot), (_, live, table) in zip(GROUPS, verdicts([said for said, _ in GROUPS]), strict=True):
        assert live[1] == table[1] == is_bot, said


def random_event(draw: random.Random) -> dict[str, Any]:
    """An event whose page, client and sender may be anything."""

    def value() -> Any:
        return draw.choice(NO_TEXT) if draw.random() < 0.1 else "".join(draw.choices(PARTS, k=draw.randrange(8)))

    def some(*names: str) -> dict[str, Any]:
        return {name: value() for name in names if draw.random() < 0.35}

    context = some("userAgent", "user_agent")
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
        **{name: ids[name] for name in draw.choice([["anonymous_id"], ["user_id"], ["anonymous_id", "user_id"]])},
    }


def test_thousands_of_pages_clients_and_groups_are_the_same_live_and_in_the_table() -> None:
    draw = random.Random(15)
    said = [random_event(draw) for _ in range(EVENTS)]
    differing = [(fields, live, table) for fields, live, table in verdicts(said) if live != table]
    assert not differing, f"{len(differing)}, e.g. {json.dumps(differing[:5], ensure_ascii=False)}"
