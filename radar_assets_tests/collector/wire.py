"""Requests as doors receive them, synthetic or recorded from SDKs, and the resulting events."""

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from radar_assets.collector.door import DaySalts, Door, Request, Sender
from radar_assets.collector.lines import encode_lines
from radar_assets.collector.recent import Recent
from radar_assets.events.contract import CanonicalEvent, Rejection, parse
from radar_assets.events.enrichment import rebuild_events
from radar_assets.events.landing import list_hours
from radar_assets.events.loading import load_raw_events, touched_hours
from radar_assets.lakehouse.inputs import Files
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.settings import Settings
from radar_assets.tables import open_lakehouse
from radar_assets.windows import Window

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "sdk-wire"
recorded_data = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded requests are not in ../shared/data")

NOON = datetime(2026, 3, 10, 12)
ADDRESS, SALT = "203.0.113.77", b"of the day"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


def request(
    path: str,
    body: Any = b"",
    headers: Mapping[str, str] | None = None,
    *,
    at: datetime = NOON,
    salts: tuple[bytes, bytes] = (SALT, b"of the day before"),
    address: str = ADDRESS,
    until: datetime = datetime(2026, 3, 11),
    recent: Recent | None = None,
) -> Request:
    """A request of a browser. A body other than bytes is sent as JSON; without a body it is a GET."""
    path, _, query = path.partition("?")
    return Request(
        method="POST" if body != b"" else "GET",
        path=path,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={"user-agent": BROWSER, **(headers or {})},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        received_at=at,
        sender=Sender(
            lambda _: DaySalts(*salts, until), address, (headers or {}).get("user-agent", BROWSER), at, recent
        ),
        address="203.0.113.0",
    )


def verdicts(door: Door, sent: Request) -> list[CanonicalEvent | Rejection]:
    """The contract's verdict on each line of a request."""
    lines = encode_lines(door.read(sent).events, "shop", door.name, sent.received_at, "truncated")
    return [parse(line, {"shop"}, date(2026, 1, 1)) for line in lines.splitlines()]


def events(door: Door, sent: Request) -> list[CanonicalEvent]:
    """The events of a request, all of which must be valid."""
    found = verdicts(door, sent)
    assert not [verdict for verdict in found if isinstance(verdict, Rejection)], found
    return [verdict for verdict in found if isinstance(verdict, CanonicalEvent)]


def recorded(name: str = "*") -> Iterator[tuple[str, str, bytes, dict[str, str], Any]]:
    """Method, path, body as it was sent, headers and decoded body of each recorded request."""
    for file in sorted(RECORDED.glob(f"{name}.jsonl")):
        for line in file.read_text().splitlines():
            sent = json.loads(line)
            headers = {key.lower(): value for key, value in sent["headers"].items()}
            body = b"" if sent["body_decoded"] is None else json.dumps(sent["body_decoded"]).encode()
            packed = gzip.compress(body) if headers.get("content-encoding") == "gzip" else body
            kept = {key: value for key, value in headers.items() if key not in ("host", "connection", "content-length")}
            yield sent["method"], sent["path"], packed, kept, sent["body_decoded"]


def enriched(settings: Settings) -> list[dict[str, Any]]:
    """The table `events` of the landed segments, built without Dagster."""
    lakehouse = open_lakehouse(settings)
    touched: set[datetime] = set()
    for hour in list_hours(settings.landing):
        commit, _ = load_raw_events(lakehouse, ["shop"], Window.of_hour(hour), only_missing=False)
        touched.update(touched_hours(commit))
    rebuild_events(lakehouse, [Window.of_hour(hour) for hour in sorted(touched)])
    inputs = {"events": Files.of(lakehouse.snapshot("events"))}
    return lakehouse.engine.query(SqlModel("events", "select * from events"), inputs).to_pylist()
