"""Helpers that turn rows of `raw_events` into rows of `events`."""

import json
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from radar_assets.events.declarations import NOTHING_DECLARED, Declarations
from radar_assets.events.enrichment import events_model
from radar_assets.events.internal_traffic import internal_addresses
from radar_assets.events.sites import public_suffixes
from radar_assets.events.tables import EVENTS, RAW_EVENTS
from radar_assets.events.traffic_sources import referrer_sources
from radar_assets.events.user_agents import describe_user_agents
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
from radar_assets.lakehouse.sql import load_model

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 1, 12)
ARROW = {
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
    "long": pa.int64(),
    "int": pa.int32(),
    "binary": pa.binary(),
}
SCHEMA = pa.schema([(column.name, ARROW[column.type]) for column in RAW_EVENTS.columns])
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)


def raw_row(properties: dict | None = None, context: dict | None = None, **columns: Any) -> dict[str, Any]:
    """A row of `raw_events`, complete except for the columns that a test sets."""
    moment = columns.get("event_time", NOON)
    row = {
        "received_hour": moment.replace(minute=0, second=0, microsecond=0),
        "segment": "a",
        "line_number": 1,
        "event_id": "e1",
        "project_id": "p1",
        "type": "page",
        "event": "page_view",
        "anonymous_id": "v1",
        "event_time": moment,
        "timestamp": moment,
        "received_at": moment + timedelta(seconds=1),
        "properties": None if properties is None else json.dumps(properties),
        "context": None if context is None else json.dumps(context),
        "protocol": "test",
    }
    return row | columns


def enrich(
    rows: Iterable[dict[str, Any]],
    start: datetime = NOON - 12 * HOUR,
    end: datetime = NOON + 12 * HOUR,
    dedupe_days: int = 7,
    declared: Declarations = NOTHING_DECLARED,
) -> list[dict[str, Any]]:
    """The rows of `events` for rows of `raw_events`."""
    engine = DuckDBEngine("256MB", 2, Path(tempfile.gettempdir()))
    raw_events = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    window = {"start": start, "end": end}

    def distinct(model: str) -> list[Any]:
        return engine.query(load_model("radar_assets.events", model), {"raw_events": raw_events}, window)[0].to_pylist()

    events = engine.query(
        events_model(declared, dedupe_days),
        {
            "raw_events": raw_events,
            "related_rows": raw_events.slice(0, 0),
            "user_agents": describe_user_agents(distinct("user_agents")),
            "referrer_sources": referrer_sources(),
            "public_suffixes": public_suffixes(),
            "internal_addresses": internal_addresses(declared.internal_traffic, distinct("addresses")),
        },
        window,
    )
    assert events.column_names == list(EVENTS.column_names)
    return events.to_pylist()


def enriched(properties: dict | None = None, context: dict | None = None, **columns: Any) -> dict[str, Any]:
    """The event of one row."""
    (event,) = enrich([raw_row(properties, context, **columns)])
    return event


def enriched_each(said: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of rows with different properties, in the same order."""
    rows = [raw_row(properties, event_id=str(index), line_number=index) for index, properties in enumerate(said)]
    return sorted(enrich(rows), key=lambda event: int(event["event_id"]))


def page(url: str, **said: Any) -> dict[str, Any]:
    return enriched({"url": url, **said})
