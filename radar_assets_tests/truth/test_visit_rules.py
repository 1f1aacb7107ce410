"""Sessions equal those worked out in plain Python, in whatever order events arrive and days are built."""

import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.settings import load_settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import DAY
from radar_assets_tests.truth.visiting import MONDAY, Row, build, expected, hit, sessions, summary

DAYS = 4
SEEDS = range(6)


def lakehouse_at(home: Path) -> Lakehouse:
    return open_lakehouse(load_settings(home=home, threads=2).prepare())


def some_events(draw: random.Random) -> list[Row]:
    """Few devices, users and session ids over few days, so that everything meets, also around midnight."""
    rows = []
    for _ in range(draw.randrange(10, 70)):
        day = draw.randrange(DAYS)
        minute = draw.choice(
            [draw.randrange(1440), draw.randrange(60), 1439 - draw.randrange(60), 600 + draw.randrange(90)]
        )
        at = MONDAY + day * DAY + timedelta(minutes=minute)
        device, user = draw.choice(["d1", "d2", None]), draw.choice([None, None, "u1", "u2", "u3"])
        if device is None and user is None:
            device = "d3"
        is_from_server = draw.random() < 0.25
        rows.append(
            hit(
                at,
                device,
                user,
                session_id=None if is_from_server else draw.choice([None, None, "s1", "s2"]),
                event=draw.choice(["page_view", "click"]) if not is_from_server else "purchase",
                received_at=at + timedelta(seconds=draw.randrange(2)),
                sequence=draw.choice([None, 0, 1]),
                is_interactive=draw.random() < 0.7,
                is_from_server=is_from_server,
                is_bot=draw.random() < 0.05,
                is_internal=draw.random() < 0.05,
                revenue=draw.choice([None, Decimal("1.5000")]),
            )
        )
    return rows


@pytest.mark.parametrize("seed", SEEDS)
def test_sessions_follow_the_rules_whatever_arrives_first(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows = some_events(draw)
    whole = lakehouse_at(tmp_path / "whole")
    days = [(MONDAY + number * DAY).date() for number in range(DAYS)]
    build(whole, rows, days)
    assert sorted(map(summary, sessions(whole)), key=repr) == expected(rows)

    parts = lakehouse_at(tmp_path / "parts")
    late = set(draw.sample(range(len(rows)), len(rows) // 4))
    on_time = [row for number, row in enumerate(rows) if number not in late]
    draw.shuffle(days)
    build(parts, on_time, days)
    touched = sorted({rows[number]["event_time"].date() for number in late}, key=lambda _: draw.random())
    build(parts, rows, touched)
    assert sessions(parts) == sessions(whole)
