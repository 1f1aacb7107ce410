"""Small `events` and `sessions` relations, and the metrics that the SQL computes from them."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from radar_assets.calendar import Calendar
from radar_assets.events.tables import EVENTS, SESSIONS
from radar_assets.lakehouse.engines.duckdb import DuckDBEngine
from radar_assets.lakehouse.sql import load_model
from radar_assets.lakehouse.table import Table
from radar_assets.metrics.composition import compose
from radar_assets.metrics.registry import STANDARD_METRICS, Grain, Metric
from radar_assets.windows import DAY, Window

LAYER = "radar_assets.metrics"
MONDAY = datetime(2026, 3, 2)
NOON = MONDAY + timedelta(hours=12)

Row = dict[str, Any]

_ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "decimal(18,4)": pa.decimal128(18, 4),
}
_numbers = count()


def event(visitor: str = "v1", at: datetime = NOON, **columns: Any) -> Row:
    """A row of `events`: a page view by an anonymous visitor of project `p1`, unless said otherwise."""
    return {
        "event_id": f"e{next(_numbers)}",
        "project_id": "p1",
        "type": "track",
        "event": "page_view",
        "visitor_id": visitor,
        "event_time": at,
        "received_at": at,
        "is_bot": False,
        "is_internal": False,
        "is_interactive": True,
        "is_from_server": False,
        "properties": "{}",
        "context": "{}",
        **columns,
    }


def session(visitor: str = "v1", at: datetime = NOON, duration_s: float = 0, **columns: Any) -> Row:
    """A row of `sessions`: one page view of project `p1`, unless said otherwise."""
    return {
        "session_id": f"s{next(_numbers)}",
        "project_id": "p1",
        "visitor_id": visitor,
        "date": at.date(),
        "started_at": at,
        "ended_at": at + timedelta(seconds=duration_s),
        "duration_s": duration_s,
        "events": 1,
        "events_after_midnight": 0,
        "page_views": 1,
        "is_bounce": True,
        "is_new_visitor": False,
        "is_bot": False,
        "is_internal": False,
        "revenue": Decimal(0),
        **columns,
    }


def relation(table: Table, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of a table; missing columns are null."""
    schema = pa.schema([(column.name, _ARROW[column.type]) for column in table.columns])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def engine(threads: int = 1) -> DuckDBEngine:
    """An engine without a home."""
    return DuckDBEngine("1GB", threads, Path(tempfile.gettempdir()))


def values(
    grain: Grain,
    window: Window,
    events: Sequence[Row],
    sessions: Sequence[Row] = (),
    *,
    metrics: Sequence[Metric] = STANDARD_METRICS,
    threads: int = 1,
) -> dict[tuple[str, datetime | date, str], float]:
    """The metrics of a window, by project, hour or day, and name."""
    model = compose(load_model(LAYER, "hourly_metrics" if grain == "hour" else "daily_metrics"), metrics, grain)
    rows = _run(model, window, events, sessions, threads)
    found = {
        (row["project_id"], row["hour" if grain == "hour" else "date"], row["metric"]): row["value"] for row in rows
    }
    assert len(found) == len(rows)
    return found


def of_hour(events: Sequence[Row], metrics: Sequence[Metric] = STANDARD_METRICS) -> dict[str, float]:
    """The metrics of project `p1` in the hour from noon."""
    found = values("hour", Window.of_hour(NOON), events, metrics=metrics)
    return {name: value for (project, _, name), value in found.items() if project == "p1"}


def of_day(
    events: Sequence[Row], sessions: Sequence[Row] = (), metrics: Sequence[Metric] = STANDARD_METRICS
) -> dict[str, float]:
    """The metrics of project `p1` on Monday."""
    found = values("day", Window.of_day(MONDAY.date()), events, sessions, metrics=metrics)
    return {name: value for (project, _, name), value in found.items() if project == "p1"}


def breakdowns(
    events: Sequence[Row], sessions: Sequence[Row] = (), window: Window | None = None
) -> dict[tuple[str, date, str, str], tuple[int, int, int, int | None]]:
    """Events, page views, visitors and sessions by project, day, dimension and value; of Monday, without a window."""
    rows = _run(load_model(LAYER, "daily_breakdowns"), window or Window(MONDAY, MONDAY + DAY), events, sessions)
    found = {
        (row["project_id"], row["date"], row["dimension"], row["value"]): (
            row["events"],
            row["page_views"],
            row["visitors"],
            row["sessions"],
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def _run(model: Any, window: Window, events: Sequence[Row], sessions: Sequence[Row], threads: int = 1) -> list[Row]:
    inputs = {
        "sessions": relation(SESSIONS, sessions),
        "events": relation(EVENTS, events),
        "utc_offsets": Calendar({}).relation(window),
        "dated_events": load_model("radar_assets.events", "dated_events"),
    }
    return engine(threads).query(model, inputs, {"start": window.start, "end": window.end}).to_pylist()
