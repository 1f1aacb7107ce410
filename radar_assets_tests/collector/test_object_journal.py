"""The journal with an object store: a group is uploaded as a segment before the response, and outages need no restart."""

import asyncio
import json
from datetime import datetime

import pytest

from radar_assets.collector.journal import JournalError, open_journal
from radar_assets.object_store import ObjectPath
from radar_assets.settings import load_settings
from radar_assets_tests.collector.conftest import serving
from radar_assets_tests.object_server import BUCKET, ObjectServer

NOW = datetime(2026, 3, 1, 12, 30)
HOUR = datetime(2026, 3, 1, 12)
LANDING = ObjectPath(f"s3://{BUCKET}/landing")


def lines_of_segments() -> list[list[bytes]]:
    """The lines of each segment of the hour."""
    return [one.path.read_bytes().splitlines() for one in LANDING.objects()]


def test_requests_that_arrive_together_are_one_segment_before_the_response(object_server: ObjectServer) -> None:
    async def run() -> None:
        async with open_journal(load_settings(landing_url=str(LANDING))) as journal:
            await journal.append(b"first\n", NOW)
            assert lines_of_segments() == [[b"first"]]
            groups = []
            journal.on_durable = groups.append
            await asyncio.gather(*(journal.append(b"%d\n" % number, NOW) for number in range(100)))
            assert len(groups) <= 3
            assert sum(map(len, lines_of_segments())) == 101

    asyncio.run(run())


def test_requests_during_an_outage_are_refused_and_no_restart_is_needed(object_server: ObjectServer) -> None:
    async def run() -> None:
        async with open_journal(load_settings(landing_url=str(LANDING))) as journal:
            await journal.append(b"before\n", NOW)
            object_server.stop()
            with pytest.raises(JournalError, match="s3://"):
                await journal.append(b"during\n", NOW)
            assert journal.failure
            object_server.start()
            await journal.append(b"after\n", NOW)
            assert journal.failure is None

    asyncio.run(run())
    assert sorted(lines_of_segments()) == [[b"after"], [b"before"]]


def test_an_outage_gives_503_and_retried_events_land_once(object_server: ObjectServer) -> None:
    event = {"event_id": "1", "event": "sent", "anonymous_id": "visitor"}
    with serving(load_settings(landing_url=str(LANDING)).prepare()) as collector:
        object_server.stop()
        refused = collector.send(event)
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        object_server.start()
        assert collector.send(event).status == 200
    lines = [json.loads(line) for one in LANDING.objects() for line in one.path.read_bytes().splitlines()]
    assert [(line["event_id"], line["project_id"]) for line in lines] == [("1", "shop")]
