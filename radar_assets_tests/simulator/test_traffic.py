"""`simulate`: its arguments take effect, and the traffic resembles real traffic."""

import hashlib
import json
import re
from collections import Counter
from datetime import date

import duckdb
import pytest

from radar_assets.simulator import traffic
from radar_assets.simulator.delivery import NO_ODDITIES, ODDITIES, Oddities
from radar_assets.simulator.traffic import simulate
from radar_assets_tests.simulator.conftest import EVENTS, SHORT, lines_of, one


def fault_of(line: bytes) -> str:
    """The first violation of the contract in a line, or `none`."""
    try:
        event = json.loads(line)
    except ValueError:
        return "no JSON"
    texts = ("event_id", "project_id", "event", "protocol", "category", "user_id", "anonymous_id", "session_id")
    times = ("timestamp", "sent_at", "received_at")
    objects = ("properties", "context")
    required = {"event_id", "project_id", "event", "protocol", "type", *times, *objects}
    faults = {
        "no ids": not event.keys() & {"user_id", "anonymous_id"},
        "missing": not event.keys() >= required,
        "unknown": not event.keys() <= {*required, *texts},
        "type": event["type"] not in ("track", "page", "screen", "identify"),
    }
    for name in event.keys() & set(texts):
        faults[name] = not (isinstance(event[name], str) and 1 <= len(event[name]) <= 200)
    faults |= {name: not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event[name]) for name in times}
    faults |= {name: not isinstance(event[name], dict) for name in objects}
    return next((name for name, is_so in faults.items() if is_so), "none")


def test_same_arguments_give_the_same_segments_and_another_seed_gives_others():
    first, again, other = (list(simulate(**SHORT, seed=seed)) for seed in (7, 7, 8))
    assert first == again
    assert not {segment.name for segment in first} & {segment.name for segment in other}
    first_ids, other_ids = ({line[:40] for line in lines_of(segments)} for segments in (first, other))
    assert not first_ids & other_ids


@pytest.mark.parametrize(
    ("oddities", "digest"),
    [
        (NO_ODDITIES, "39fe609d9a6caf6de7c7cfaf4e021c6e8dbfc80e54bbe0489e539de6b2844931"),
        (ODDITIES, "7e63f76c6c05aedb76b8e9f0d111f3e108523f516d77802a31d3c54e0227e83d"),
    ],
)
def test_segments_are_the_same_on_every_machine_and_version_of_python(oddities: Oddities, digest: str):
    found = hashlib.sha256()
    for segment in simulate(**SHORT, projects=5, oddities=oddities):
        found.update(segment.lines)
    assert found.hexdigest() == digest


def test_block_sizes_do_not_change_the_traffic(monkeypatch: pytest.MonkeyPatch):
    at_once = lines_of(simulate(**SHORT))
    monkeypatch.setattr(traffic, "_SPAN_SESSIONS", 20)
    monkeypatch.setattr(traffic, "_BLOCK_LINES", 37)
    segments = list(simulate(**SHORT))
    assert lines_of(segments) == at_once
    assert len({(segment.hour, segment.name) for segment in segments}) == len(segments)


@pytest.mark.parametrize("event_bytes", [600, 640, 900, 2500])
def test_lines_have_the_requested_mean_length(event_bytes: int):
    lines = lines_of(simulate(date(2026, 1, 5), 2, projects=20, events=40_000, event_bytes=event_bytes))
    assert sum(map(len, lines)) / len(lines) == pytest.approx(event_bytes, rel=0.02)


@pytest.mark.parametrize(("days", "projects", "events"), [(1, 50, 40_000), (40, 1, 60_000), (2, 2, 1_000)])
def test_the_number_of_events_is_close_to_the_requested_one(days: int, projects: int, events: int):
    assert len(lines_of(simulate(date(2026, 1, 5), days, projects=projects, events=events))) == pytest.approx(
        events, rel=0.12
    )


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("days", 0),
        ("events", 0),
        ("projects", 0),
        ("event_bytes", 100),
        ("late_share", 1.5),
        ("duplicate_share", -0.1),
        ("malformed_share", 2),
    ],
)
def test_an_argument_out_of_range_is_named(argument: str, value: float):
    with pytest.raises(ValueError, match=argument):
        simulate(**{**SHORT, argument: value})


def test_lines_are_in_their_received_hour_in_order():
    hours = []
    for segment in simulate(**SHORT, malformed_share=0):
        received = [json.loads(line)["received_at"] for line in segment.lines.splitlines()]
        assert {moment[:13] for moment in received} == {segment.hour.isoformat()[:13]}
        assert received == sorted(received)
        hours.append(segment.hour)
    assert len(hours) == 3 * 24
    assert hours == sorted(hours)


def test_flaws_have_the_requested_shares(plain_month: duckdb.DuckDBPyConnection):
    (lines,) = one(plain_month, "select count(*) from lines")
    assert lines == pytest.approx(EVENTS, rel=0.05)
    (malformed,) = one(
        plain_month,
        """
        select count(*) from lines where (
            coalesce(anonymous_id, user_id) is not null and try_cast(timestamp as timestamp) is not null
            and event != '404' and json_type(properties) = 'OBJECT' and type in ('track', 'page', 'screen', 'identify')
        ) is not true
        """,
    )
    assert 0.0001 < malformed / lines < 0.0004
    copies, late, wrong_clocks = one(
        plain_month,
        """
        select
            count(*) - count(distinct event_id),
            count(*) filter (sent - happened > interval 55 minutes),
            count(*) filter (abs(epoch(received - sent)) > 1800)
        from events
        """,
    )
    assert copies / lines == pytest.approx(0.005, abs=0.001)
    assert late / lines == pytest.approx(0.01, abs=0.003)
    assert 0.001 < wrong_clocks / lines < 0.01


def test_shares_of_zero_leave_traffic_without_flaws():
    lines = lines_of(simulate(**SHORT, late_share=0, duplicate_share=0, malformed_share=0, oddities=NO_ODDITIES))
    events = [json.loads(line) for line in lines]
    assert len({event["event_id"] for event in events}) == len(events)
    assert all(event["sent_at"][:16] >= event["timestamp"][:16] for event in events)


def test_late_events_are_received_up_to_three_days_later(month: duckdb.DuckDBPyConnection):
    types, shortest, longest, platforms = one(
        month,
        """
        select list(distinct type order by type), min(received - happened), max(received - happened),
            count(distinct user_agent)
        from events where sent - happened > interval 4 hours
        """,
    )
    assert "screen" in types
    assert "page" not in types
    assert shortest.total_seconds() > 4 * 3600
    assert 48 < longest.total_seconds() / 3600 <= 72
    assert platforms == 2


def test_copies_are_received_later_and_some_of_them_in_a_later_hour(plain_month: duckdb.DuckDBPyConnection):
    copies, other_content, later_hour = one(
        plain_month,
        """
        with copied as (
            select event_id, min(received) as first, max(received) as last, count(*) as sent,
                count(distinct (project_id, event, visitor_id, happened, properties::varchar)) as contents,
                count(distinct date_trunc('hour', received)) as hours
            from events group by event_id having count(*) > 1
        )
        select count(*) filter (first < last and sent = 2), count(*) filter (contents > 1), count(*) filter (hours > 1)
        from copied
        """,
    )
    assert copies > 500
    assert other_content == 0
    assert later_hour > 20


def test_a_wrong_clock_is_off_by_the_same_in_all_events_of_a_visitor(plain_month: duckdb.DuckDBPyConnection):
    visitors, fast, slow, unsteady = one(
        plain_month,
        """
        with clocks as (
            select visitor_id, round(epoch(sent - received) / 3600) as hours_off from events
            where type != 'screen' or sent - happened < interval 1 minute
        ),
        off as (select visitor_id, min(hours_off) as low, max(hours_off) as high from clocks group by 1)
        select count(*) filter (low != 0), count(*) filter (low > 0), count(*) filter (low < 0),
            count(*) filter (low != high)
        from off
        """,
    )
    assert visitors > 20
    assert min(fast, slow) > 5
    assert unsteady == 0


def test_malformed_lines_are_truncated_lack_ids_or_have_wrong_types():
    lines = lines_of(simulate(**SHORT, malformed_share=0.2, oddities=NO_ODDITIES))
    found = Counter(fault_of(line) for line in lines)
    assert set(found) == {"none", "no JSON", "no ids", "timestamp", "event", "type", "properties"}
    assert 1 - found["none"] / len(lines) == pytest.approx(0.2, abs=0.03)


def test_well_formed_lines_keep_the_contract():
    lines = lines_of(simulate(**SHORT, projects=6, event_bytes=700, malformed_share=0, oddities=NO_ODDITIES))
    assert Counter(fault_of(line) for line in lines) == {"none": len(lines)}


def test_projects_differ_in_size_by_a_power_law(month: duckdb.DuckDBPyConnection):
    sizes = dict(
        month.execute(
            "select project_id, count(*) from events where received < timestamp '2026-01-19' group by 1"
        ).fetchall()
    )
    assert sizes["lumen-shop"] / sizes["harbor-crm"] == pytest.approx(2, rel=0.2)
    assert sizes["lumen-shop"] / sizes["pico-games"] == pytest.approx(3, rel=0.2)


def test_traffic_follows_the_local_hour_of_the_week(month: duckdb.DuckDBPyConnection):
    by_day, by_night, weekday, weekend = one(
        month,
        """
        with local as (
            select (happened at time zone 'UTC') at time zone 'America/New_York' as time
            from events where project_id = 'harbor-crm'
        )
        select
            count(*) filter (hour(time) between 9 and 16), count(*) filter (hour(time) between 0 and 5),
            count(*) filter (isodow(time) <= 5) / 5, count(*) filter (isodow(time) > 5) / 2
        from local
        """,
    )
    assert by_day > 20 * by_night
    assert weekday > 2.5 * weekend
    shop_weekday, shop_weekend, evening, morning = one(
        month,
        """
        with local as (
            select (happened at time zone 'UTC') at time zone 'Europe/Berlin' as time
            from events where project_id = 'lumen-shop'
        )
        select
            count(*) filter (isodow(time) <= 5) / 5, count(*) filter (isodow(time) > 5) / 2,
            count(*) filter (hour(time) between 19 and 21), count(*) filter (hour(time) between 6 and 8)
        from local
        """,
    )
    assert shop_weekend > 1.15 * shop_weekday
    assert evening > 3 * morning


def test_traffic_grows_over_the_weeks(month: duckdb.DuckDBPyConnection):
    weeks = [
        row[0]
        for row in month.execute(
            """
            select count(*) from events where project_id = 'lumen-shop'
            group by (received::date - date '2026-01-05') // 7 order by any_value(received)
            """
        ).fetchall()
    ]
    assert len(weeks) == 4
    assert weeks[3] > 1.12 * weeks[0]


def test_visitors_return_so_that_the_share_of_new_ones_falls(month: duckdb.DuckDBPyConnection):
    shares = [
        row[0]
        for row in month.execute(
            """
            with days as (select distinct project_id, visitor_id, received::date as day from events),
            seen as (select *, day = min(day) over (partition by project_id, visitor_id) as new from days)
            select avg(new::int) from seen where project_id != 'pico-games'
            group by (day - date '2026-01-05') // 7 order by any_value(day)
            """
        ).fetchall()
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.7
    assert shares[-1] < 0.6


def test_sessions_are_paths_with_bounces_and_purchases(month: duckdb.DuckDBPyConnection):
    mean, bounces, buyers, browsing = one(
        month,
        """
        with sessions as (
            select
                count(*) as events, count(*) filter (event = 'page_view') as views, bool_or(event = 'purchase') as buys,
                any_value(properties ->> 'title' order by happened) as first_page
            from events where session_id is not null group by project_id, session_id
        )
        select
            avg(events), avg((events = 1 and views = 1)::int), avg(buys::int),
            count(distinct first_page)
        from sessions
        """,
    )
    assert 4 < mean < 8
    assert 0.15 < bounces < 0.5
    assert 0.01 < buyers < 0.08
    assert browsing > 20


def test_page_views_have_the_previous_page_or_the_source_as_referrer(month: duckdb.DuckDBPyConnection):
    inner, searches, campaigns, unlinked = one(
        month,
        """
        with views as (
            select properties ->> 'url' as url, properties ->> 'referrer' as referrer, properties ->> 'path' as path
            from events where event = 'page_view' and json_type(properties) = 'OBJECT'
        )
        select
            avg((referrer like 'https://%.example/%' and split_part(referrer, '/', 3) = split_part(url, '/', 3))::int),
            avg((referrer = 'https://www.google.com/')::int), avg((url like '%utm_medium=%')::int),
            count(*) filter (split_part(url, '?', 1) not like '%' || path)
        from views
        """,
    )
    assert 0.4 < inner < 0.9
    assert searches > 0.03
    assert campaigns > 0.02
    assert unlinked == 0


def test_users_have_an_id_from_their_sign_up_on(plain_month: duckdb.DuckDBPyConnection):
    signed_up, known_before, forgotten, came_back = one(
        plain_month,
        """
        with joined as (
            select visitor_id, min(happened) as joined_at from events where event = 'sign_up' group by 1
        ),
        after as (
            select
                visitor_id,
                count(*) filter (happened < joined_at and user_id is not null) as before,
                count(*) filter (happened > joined_at and user_id is null and event != 'error') as forgotten,
                count(*) filter (happened > joined_at + interval 12 hours) as later
            from events inner join joined using (visitor_id) group by 1
        )
        select count(*), sum(before), sum(forgotten), count(*) filter (later > 0) from after
        """,
    )
    assert signed_up > 400
    assert (known_before, forgotten) == (0, 0)
    assert came_back > 0.2 * signed_up


def test_bots_send_a_twentieth_of_the_events_in_long_regular_runs(month: duckdb.DuckDBPyConnection):
    share, longest_run = one(
        month,
        """
        with bots as (
            select count(*) as events from events
            where user_agent ilike '%bot%' or user_agent ilike '%headless%' group by visitor_id, received::date
        )
        select sum(events) / (select count(*) from events), max(events) from bots
        """,
    )
    assert 0.03 < share < 0.08
    assert longest_run > 100
