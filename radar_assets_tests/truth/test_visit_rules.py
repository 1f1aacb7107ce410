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
LATE = 4
SEEDS = range(4)


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

    # One late event at a time, so that days are rarely rebuilt for another reason.
    parts = lakehouse_at(tmp_path / "parts")
    late = draw.sample(rows, LATE)
    present = [row for row in rows if row not in late]
    draw.shuffle(days)
    build(parts, present, days)
    for row in late:
        present.append(row)
        build(parts, present, [row["event_time"].date()])
    assert sessions(parts) == sessions(whole)


def test_a_late_event_takes_an_order_of_the_next_day_to_its_own_visit(tmp_path: Path) -> None:
    midnight = MONDAY + DAY
    tablet = hit(midnight + timedelta(minutes=1), "tablet", "u", event_id="tablet")
    phone = hit(midnight - timedelta(minutes=10), "phone", "u", event_id="phone")
    order = hit(midnight + timedelta(minutes=15), None, "u", event="purchase", is_from_server=True)
    late = hit(midnight - timedelta(minutes=1), "phone", "u", event_id="late")
    rows = [phone, hit(midnight - timedelta(minutes=14), "desk", "u", event_id="desk"), order]
    lakehouse = lakehouse_at(tmp_path)
    build(lakehouse, rows, [MONDAY.date(), midnight.date()])
    assert sorted(map(summary, sessions(lakehouse)), key=repr) == expected(rows)
    for row, day in ((late, MONDAY), (tablet, midnight)):
        rows.append(row)
        build(lakehouse, rows, [day.date()])
        assert sorted(map(summary, sessions(lakehouse)), key=repr) == expected(rows)


def test_a_late_visit_on_one_device_makes_the_user_known_on_another_for_30_days(tmp_path: Path) -> None:
    days = [MONDAY + number * DAY for number in (1, 3, 30, 31)]
    rows = [hit(day, f"device {number}", "u" if number < 3 else "w") for number, day in enumerate(days)]
    rows[3]["user_id"] = "u"
    lakehouse = lakehouse_at(tmp_path)
    build(lakehouse, rows[1:], [day.date() for day in days])
    assert [row["is_new_visitor"] for row in sessions(lakehouse)] == [True, False, False]
    rows.append(hit(MONDAY, "first device", "u"))
    build(lakehouse, rows, [MONDAY.date()])
    assert sorted(map(summary, sessions(lakehouse)), key=repr) == expected(rows[1:])
    assert [row["is_new_visitor"] for row in sessions(lakehouse)] == [True, False, False, False]
