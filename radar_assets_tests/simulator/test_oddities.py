"""What real senders do besides: each oddity is in the traffic, at its share."""

import json
from collections import Counter

import duckdb
import pytest

from radar_assets.events.contract import AcceptedEvent, parse
from radar_assets.simulator.delivery import ODDITIES, Oddities
from radar_assets.simulator.projects import simulated_projects
from radar_assets.simulator.traffic import simulate
from radar_assets_tests.simulator.conftest import SHORT, lines_of, one


def test_unusable_fields_cost_no_event():
    lines = lines_of(simulate(**SHORT, malformed_share=0, oddities=Oddities(unusable_field=1)))
    projects = {project.id for project in simulated_projects(3)}
    verdicts = [parse(line, projects, SHORT["start"]) for line in lines]
    kinds = Counter(
        warning for verdict in verdicts for warning in str(getattr(verdict, "warnings", "rejected")).split(", ")
    )
    assert all(isinstance(verdict, AcceptedEvent) and verdict.warnings for verdict in verdicts), kinds
    assert len(kinds) == 10


def test_servers_report_and_refund_orders(month: duckdb.DuckDBPyConnection):
    purchases, reported, refunded, unequal, unrelated, with_refund_id = one(
        month,
        """
        with about as (
            select
                properties ->> 'order_id' as order_id, event, visitor_id, event_id, properties ->> 'refund_id' as refund_id,
                regexp_extract(coalesce(properties ->> 'revenue', properties ->> 'total'), '[0-9.]+')::double as amount
            from events where event in ('purchase', 'Order Completed', 'Order Refunded')
        ),
        orders as (
            select
                order_id, count(distinct amount) as amounts, count(distinct visitor_id) as visitors,
                count(distinct event_id) filter (event = 'purchase') as purchases,
                count(distinct event_id) filter (event = 'Order Completed') as reports,
                count(distinct event_id) filter (event = 'Order Refunded') as refunds,
                count(distinct refund_id) as refund_ids
            from about group by order_id
        )
        select
            sum(purchases), sum(reports), sum(refunds), count(*) filter (amounts > 1), count(*) filter (visitors > 1),
            sum(refund_ids)
        from orders where purchases > 0
        """,
    )
    assert reported / purchases == pytest.approx(ODDITIES.order_report, abs=0.05)
    assert refunded / purchases == pytest.approx(ODDITIES.refund, abs=0.02)
    assert 0.3 < with_refund_id / refunded < 0.7
    assert unequal == unrelated == 0


def test_automatic_events_follow_page_views(month: duckdb.DuckDBPyConnection):
    (share,) = one(
        month,
        """
        select
            count(*) filter (event = 'engagement' and (context ->> 'interactive') = 'false' and (context -> 'page') is not null)
            / count(*) filter (event = 'page_view')
        from events
        """,
    )
    assert share == pytest.approx(ODDITIES.engagement, rel=0.15)


def test_some_senders_have_texts_as_amounts_placeholders_and_other_spellings(month: duckdb.DuckDBPyConnection):
    texts, placeholders, unusual, hash_routes, staging = one(
        month,
        """
        select
            avg((json_type(properties, '$.revenue') = 'VARCHAR')::int) filter (event = 'purchase'),
            count(distinct visitor_id) filter (user_id not like 'u-%') / count(distinct visitor_id),
            avg((url like '%:443/./%' or url like '%/#/%')::int) filter (event = 'page_view'),
            count(*) filter (url like '%/#/account%' and (context -> 'page' ->> 'hash_routing') = 'true'),
            avg((url like 'https://staging.%')::int) filter (event = 'page_view')
        from (select *, properties ->> 'url' as url from events)
        """,
    )
    assert texts == pytest.approx(ODDITIES.text_amount, abs=0.03)
    assert placeholders == pytest.approx(ODDITIES.placeholder, rel=0.3)
    assert unusual == pytest.approx(ODDITIES.spelling, rel=0.2)
    assert hash_routes > 5
    assert 0.001 < staging < 0.006


def test_events_of_one_request_are_received_together_and_may_share_a_second(month: duckdb.DuckDBPyConnection):
    share, fractions, ties, unordered = one(
        month,
        """
        with batched as (select * from lines where sequence similar to '[0-9]+'),
        requests as (
            select anonymous_id, received_at, count(distinct event_id) as events, count(distinct sequence) as places,
                count(distinct timestamp) as times
            from batched group by all
        )
        select
            (select count(*) from batched) / (select count(*) from lines),
            (select count(*) from batched where timestamp not like '%.000Z' and timestamp like '2026%'),
            count(*) filter (times < events), count(*) filter (places <> events)
        from requests
        """,
    )
    assert share == pytest.approx(ODDITIES.batched, rel=0.3)
    assert (fractions, unordered) == (0, 0)
    assert ties > 20


def test_few_different_events_have_one_id():
    lines = lines_of(simulate(**SHORT, duplicate_share=0, malformed_share=0, oddities=Oddities(reused_id=0.05)))
    events = [json.loads(line) for line in lines]
    ids = Counter(event["event_id"] for event in events)
    assert 1 - len(ids) / len(events) == pytest.approx(0.05 * 0.8, rel=0.3)
    assert len({json.dumps({**event, "event_id": ""}) for event in events}) == len(events)
