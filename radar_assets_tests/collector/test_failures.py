"""Failures between counting an event and making it durable cost no quota, and at most one event."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from radar_assets.access.keys import create_key
from radar_assets.access.projects import ensure_projects
from radar_assets.collector.door import Answer, Batch, Event, Outcome, Request, attempt
from radar_assets.collector.doors import DOORS
from radar_assets.collector.doors.radar import RadarDoor
from radar_assets.collector.recognition import Shape, recognized
from radar_assets.collector.worker import open_worker
from radar_assets.events.contract import CanonicalEvent, Rejection, parse
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Project
from radar_assets_tests.collector.conftest import Collector, serving
from radar_assets_tests.collector.wire import request

EVENT = {"event": "signup", "anonymous_id": "visitor-1"}
ADDRESS = "203.0.113.77"


class BrokenDoor(RadarDoor):
    """A door with bugs: it fails on some events and some whole requests, and gives events with values that JSON lacks."""

    name = "broken"
    routes: Sequence[tuple[str, str]] = (("POST", "/broken"),)

    def read(self, request: Request) -> Batch:
        """Events, broken as the objects of an array say."""
        if "whole" in request.query:
            raise LookupError
        raws = msgspec.json.decode(request.body, type=list[msgspec.Raw])
        shape = Shape(required=(), known=frozenset(), keys=frozenset({"key"}), expected="")
        events = [attempt(_broken, raw) for raw in raws]
        return Batch(request.key, recognized(events, lambda: raws, shape, is_exact=True))

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """A response, or an error if requested."""
        if "answer" in request.query:
            raise LookupError("a secret")
        return super().answer(request, outcome, detail)


def _broken(raw: msgspec.Raw) -> Event:
    sent = msgspec.json.decode(raw)
    if "unmade" in sent:
        raise LookupError(sent["unmade"])
    properties = {"unwritten": object(), "ip": ADDRESS} if "unwritten" in sent else sent
    return Event(event="seen", user_id="ann", properties=properties, context=msgspec.UNSET)


def _send(collector: Collector, events: Any) -> int:
    body = json.dumps(events).encode()
    return collector.request("POST", f"/broken?key={collector.keys['shop']}", body).status


def test_an_unexpected_error_costs_one_event_and_is_counted_and_logged_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [{"unmade": "a secret", "ip": ADDRESS}, {"unwritten": 1}, {"unmade": "a secret"}]
    with serving(settings, [*DOORS, BrokenDoor()]) as collector, caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert _send(collector, [{"good": 1}, *bad, {"good": 2}]) == 200
        lines = collector.landed()
        figures = collector.request("GET", "/metrics").body.decode()
    assert 'radar_unexpected_errors_total{protocol="broken"} 9.0' in figures
    verdicts = [parse(line, {"shop"}, settings.start_date) for line in lines]
    assert [isinstance(verdict, CanonicalEvent) for verdict in verdicts] == [True, False, True, False, True] * 3
    assert json.loads(json.loads(lines[1])) == {"unmade": "a secret", "ip": "203.0.113.0"}
    assert ADDRESS.encode() not in b"".join(lines)
    assert "object object" in json.loads(lines[2])["properties"]
    assert "context" not in json.loads(lines[2])
    logged = [vars(record)["fields"] for record in caplog.records if record.message == "unexpected error"]
    assert [(fields["protocol"], fields["error"]) for fields in logged] == [
        ("broken", "LookupError"),
        ("broken", "TypeError"),
    ]
    assert "test_failures.py" in logged[0]["calls"][-1]
    assert "a secret" not in json.dumps(logged)


def test_a_request_that_fails_unexpectedly_can_be_retried_and_costs_no_quota(settings: Settings) -> None:
    with serving(load_settings(events_per_month=1), [*DOORS, BrokenDoor()]) as collector:
        reply = collector.request("POST", "/broken?whole", b"[{}]")
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) > 0
        assert _send(collector, [{"good": 1}]) == 200
        assert _send(collector, [{"good": 1}]) == 429
        assert (
            'radar_unexpected_errors_total{protocol="broken"} 1.0' in collector.request("GET", "/metrics").body.decode()
        )


def test_an_error_outside_of_doors_is_counted_and_gets_a_short_response(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings, [*DOORS, BrokenDoor()]) as collector, caplog.at_level(logging.WARNING):
        for _ in range(3):
            reply = collector.request(
                "POST", f"/broken?answer&key={collector.keys['shop']}", b"[]", {"Origin": "https://a"}
            )
            assert (reply.status, reply.json()) == (500, {"error": "unexpected"})
            assert reply.headers["access-control-allow-origin"] == "https://a"
        assert (
            'radar_unexpected_errors_total{protocol="other"} 3.0' in collector.request("GET", "/metrics").body.decode()
        )
    assert [record.message for record in caplog.records] == ["unexpected error"]
    assert "a secret" not in caplog.text


def test_a_request_whose_lines_are_too_large_costs_no_quota(settings: Settings) -> None:
    messages = [{"type": "track", "event": "a", "userId": "a"}] * 5_000
    too_much = json.dumps({"batch": messages, "context": {"a": "a" * 20_000}}).encode()
    with serving(load_settings(events_per_month=5_000)) as collector:
        path = f"/v1/batch?key={collector.keys['shop']}"
        statuses = [
            collector.request("POST", path, body).status
            for body in (too_much, too_much, json.dumps({"batch": messages}).encode())
        ]
        assert statuses == [413, 413, 200]
        assert collector.send(EVENT).status == 429


def test_a_request_that_is_cancelled_before_it_is_durable_costs_no_quota(settings: Settings) -> None:
    limited = load_settings(events_per_month=1, collector_delay_ms=20)
    store = open_store(settings.database)
    ensure_projects(store, [Project("shop")])
    key = create_key(store, "shop")
    store.close()

    async def run() -> list[str]:
        async with open_worker(limited) as worker:
            sent, body = request(f"/v1/events?key={key}"), json.dumps(EVENT).encode()
            task = asyncio.create_task(worker.intake.take(RadarDoor(), sent, body))
            # It waits for the disk for at least the delay.
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            return [(await worker.intake.take(RadarDoor(), sent, body)).outcome.value for _ in range(2)]

    assert asyncio.run(run()) == ["accepted", "limited"]


@pytest.mark.parametrize("kept", ["truncated", "none", "full"])
@pytest.mark.parametrize("address", [ADDRESS, "n/a", "", None, 5, [ADDRESS], {}])
def test_an_address_without_properties_takes_the_ordinary_path(settings: Settings, kept: str, address: Any) -> None:
    with serving(load_settings(client_address=kept)) as collector:
        for payloads in ({"context": {"ip": address}}, {"properties": {"ip": address}}):
            assert collector.send({**EVENT, **payloads}).status == 200
            [line] = collector.landed()
            assert not isinstance(parse(line, {"shop"}, settings.start_date), Rejection)
            assert json.loads(line).keys() & {"properties", "context"} == payloads.keys()
            collector.forget()
